"""Finished images: fetched from allowed hosts, decoded in a child process, kept byte for byte."""
