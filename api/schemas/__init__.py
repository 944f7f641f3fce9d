"""The public contract of the API: what a request may contain, what a job looks like."""
