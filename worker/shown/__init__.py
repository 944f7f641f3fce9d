"""What callers and operators are shown of a record: pure, no I/O."""
