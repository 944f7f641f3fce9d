"""Verbs of callers: they speak HTTP to the API, as any backend does."""
