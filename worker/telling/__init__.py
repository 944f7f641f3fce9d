"""Webhook deliveries: when one is due, what is kept of it, how it is sent and signed."""
