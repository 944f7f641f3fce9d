"""Finished images: downloaded from allowed hosts, decoded in a child process, stored byte for byte, removed."""
