-- Revokes API keys by their SHA-256. The same transaction changes the version, so every process reads the keys again.
-- Arguments: worker/store/api_keys.py.
redis.call('HDEL', KEY.api_keys, unpack(digests))
redis.call('SET', KEY.api_keys_version, version)
return reply{}
