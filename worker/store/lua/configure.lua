-- Makes the accounts of a worker's configuration known to the queue; every worker repeats it while it runs. A limit set
-- by an operator wins over the configuration. Arguments: worker/store/queue.py.
-- @include queue
for _, account in ipairs(accounts) do
  local key = KEY.upstream .. account.name
  if redis.call('SADD', KEY.upstreams, account.name) == 1 then redis.call('PERSIST', key) end
  redis.call('HSET', key, 'seen', now)
  local override = redis.call('HGET', key, 'override')
  if override then
    redis.call('HSET', key, 'limit', override, 'learned', 0)
    redis.call('HDEL', key, 'probing', 'uncut', 'cut_of')
  elseif account.limit > 0 then
    redis.call('HSET', key, 'limit', account.limit, 'learned', 0)
    redis.call('HDEL', key, 'uncut', 'cut_of')
  elseif redis.call('HGET', key, 'learned') ~= '1' then
    redis.call('HSET', key, 'limit', account.first_limit, 'learned', 1)
  end
end
pump(template, prefix, lease_ms)
return reply{}
