"""The `darkroom` command: verbs for callers, verbs for operators, and the stack on one machine."""
