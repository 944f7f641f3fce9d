"""Verbs for callers: they use the API by HTTP, as any backend does."""
