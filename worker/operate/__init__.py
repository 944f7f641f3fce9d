"""What only operators load: audit, doctor, bulk operations, the hand on the queue."""
