-- All API keys, unless the given version is the current one; so frequent calls cost only one GET. Arguments:
-- worker/store/api_keys.py.
local version = redis.call('GET', KEY.api_keys_version) or ''
if version == known then return reply{} end
return reply{version = version, records = redis.call('HGETALL', KEY.api_keys)}
