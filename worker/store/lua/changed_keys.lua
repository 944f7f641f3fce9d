-- All API keys, unless the given version is the current one; so frequent calls cost only one GET.
--
-- ARGV  the copy's version
-- Reply {now, version, {digest, record, …}} or {now}
local version = redis.call('GET', KEY.api_keys_version) or ''
if version == ARGV[1] then return {now} end
return {now, version, redis.call('HGETALL', KEY.api_keys)}
