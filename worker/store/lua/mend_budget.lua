-- Books images that are missing in a tenant's budget of a day; the whole day may be missing.
-- @include budget
redis.call('HINCRBY', usage_key, field, missing)
redis.call('EXPIRE', usage_key, DAYS_KEPT * 86400, 'NX')
return reply{}
