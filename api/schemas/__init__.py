"""The public contract of the door: what a request may hold, what a job looks like."""
