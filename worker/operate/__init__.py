"""What only operators load: audit, doctor, bulk operations, flow control by hand."""
