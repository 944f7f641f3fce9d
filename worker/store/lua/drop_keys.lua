-- Revokes API keys by their SHA-256. The same transaction changes the version, so every process reads the keys again.
--
-- ARGV  version, digest …
-- Reply {now, how many were there}
local dropped = redis.call('HDEL', KEY.api_keys, unpack(ARGV, 2))
redis.call('SET', KEY.api_keys_version, ARGV[1])
return {now, dropped}
