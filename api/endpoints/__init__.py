"""One module per group of routes, and nothing else: parse, one call into worker, answer."""
