"""The `darkroom` command: operators' and callers' verbs, and the one-command stack."""
