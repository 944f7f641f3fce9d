"""The whole stack on one machine: its processes, its Redis-protocol server, `up` and `demo`."""
