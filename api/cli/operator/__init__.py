"""Verbs of operators: they work on Redis and the image store, so that they work while the API is down."""
