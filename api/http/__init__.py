"""What applies to every request: body size, HEAD, problem documents, JSON answers, parameters of lists."""
