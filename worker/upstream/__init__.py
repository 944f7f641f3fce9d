"""The remote image API, both sides of the wire: its messages, our client, and a sandbox that behaves like it."""
