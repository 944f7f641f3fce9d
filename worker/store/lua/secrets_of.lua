-- The secrets that sign for a tenant now, newest first. Arguments: worker/telling/secrets.py.
local signing = redis.call('ZREVRANGEBYSCORE', KEY.webhook_secrets .. tenant, '+inf', '(' .. now, 'WITHSCORES')
return reply{until_by_secret = signing}
