-- Stores a new API key by its SHA-256, unless there are as many as an installation may have.
--
-- ARGV  digest, record, most, version
-- Reply {now, 1 or 0}
if redis.call('HLEN', KEY.api_keys) >= tonumber(ARGV[3]) then return {now, 0} end
redis.call('HSET', KEY.api_keys, ARGV[1], ARGV[2])
redis.call('SET', KEY.api_keys_version, ARGV[4])
return {now, 1}
