-- Makes the upstream keys of this worker's configuration known to the queue, again and again, as long as it has them.
--
-- An operator's override stands above the configuration.
--
-- ARGV  template, prefix, lease_ms, then per key: name, limit (0: learned), first limit to try
-- Reply {now}
-- @include queue
for at = 4, #ARGV, 3 do
  local name, limit = ARGV[at], tonumber(ARGV[at + 1])
  if redis.call('SADD', KEY.upstreams, name) == 1 then redis.call('PERSIST', KEY.upstream .. name) end
  redis.call('HSET', KEY.upstream .. name, 'seen', now)
  local override = redis.call('HGET', KEY.upstream .. name, 'override')
  if override then
    redis.call('HSET', KEY.upstream .. name, 'limit', override, 'learned', 0)
    redis.call('HDEL', KEY.upstream .. name, 'probing')
  elseif limit > 0 then
    redis.call('HSET', KEY.upstream .. name, 'limit', limit, 'learned', 0)
  elseif redis.call('HGET', KEY.upstream .. name, 'learned') ~= '1' then
    redis.call('HSET', KEY.upstream .. name, 'limit', ARGV[at + 2], 'learned', 1)
  end
end
pump(ARGV[1], ARGV[2], tonumber(ARGV[3]))
return {now}
