"""Views: what callers and operators see of a record. Pure, no I/O."""
