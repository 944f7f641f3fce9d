-- The secrets that sign for a tenant now, newest first, each with the ms until which it signs. ARGV  tenant
-- Reply {now, {secret, until, …}}
local index = KEY.webhook_secrets .. ARGV[1]
return {now, redis.call('ZREVRANGEBYSCORE', index, '+inf', '(' .. now, 'WITHSCORES')}
