-- Stores a new API key by its SHA-256, unless there are as many as an installation may have. Arguments:
-- worker/store/api_keys.py.
if redis.call('HLEN', KEY.api_keys) >= most then return reply{kept = false} end
redis.call('HSET', KEY.api_keys, digest, record)
redis.call('SET', KEY.api_keys_version, version)
return reply{kept = true}
