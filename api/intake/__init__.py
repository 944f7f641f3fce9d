"""What every way of posting a job shares: room for it, its Idempotency-Key, how it is refused."""
