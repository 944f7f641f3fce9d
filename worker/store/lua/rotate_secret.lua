-- A new signing secret for a tenant. The earlier ones still sign for a while, so that receivers have time to change.
-- Arguments: worker/telling/secrets.py.
local key, old = KEY.webhook_secrets .. tenant, now + overlap_ms
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
local before = redis.call('EXISTS', key) == 0 and signed_so_far or redis.call('ZRANGEBYSCORE', key, '+inf', '+inf')
for _, each in ipairs(before) do redis.call('ZADD', key, old, each) end
redis.call('ZADD', key, '+inf', secret)
-- the length of the header is limited: after many rotations in a day the oldest secrets are dropped
redis.call('ZREMRANGEBYRANK', key, 0, -1 - most)
return reply{}
