"""Every socket that goes out: which addresses may be reached, and the transport that holds to it."""
