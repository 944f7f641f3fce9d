"""The door: HTTP in, records out. May import the light half of worker and config; nothing imports api."""
