"""Webhook deliveries (telling): the retry schedule, the record of tries, sending and signing."""
