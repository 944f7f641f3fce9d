"""What holds for every request whatever its path: body size, HEAD, problem answers, pages of a list."""
