"""What a connection may cost before any key is looked at: bytes, requests and time, bounded in this process itself."""
