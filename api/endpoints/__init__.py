"""One module per group of routes, and nothing else: parsing, one call into worker, the answer."""
