-- All API keys, unless the asker's copy is of the version that stands: asking often costs one GET.
--
-- ARGV  the copy's version
-- Reply {now, version, {digest, record, …}} or {now}
local version = redis.call('GET', KEY.api_keys_version) or ''
if version == ARGV[1] then return {now} end
return {now, version, redis.call('HGETALL', KEY.api_keys)}
