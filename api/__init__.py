"""The HTTP API (the door): requests in, records out. May import the light half of worker, and config."""
