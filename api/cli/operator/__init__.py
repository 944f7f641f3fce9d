"""Verbs for operators: they use Redis and the image store directly, so they also work while the API is down."""
