-- A new signing secret for a tenant. The earlier ones still sign for a while, so that receivers have time to change.
--
-- ARGV  tenant, new secret, ms for which the old ones go on, most secrets at once, secrets signed with so far …
-- Reply {now}
local key = KEY.webhook_secrets .. ARGV[1]
local old = now + ARGV[3]
redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
if redis.call('EXISTS', key) == 0 then
  for at = 5, #ARGV do redis.call('ZADD', key, old, ARGV[at]) end
else
  for _, secret in ipairs(redis.call('ZRANGEBYSCORE', key, '+inf', '+inf')) do redis.call('ZADD', key, old, secret) end
end
redis.call('ZADD', key, '+inf', ARGV[2])
-- the length of the header is limited: after many rotations in a day the oldest secrets are dropped
redis.call('ZREMRANGEBYRANK', key, 0, -1 - ARGV[4])
return {now}
