"""What every way of posting a job shares: limits, Idempotency-Key, refusals."""
