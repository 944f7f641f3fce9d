-- Counts over the whole store, in one moment.
--
-- ARGV  prefix
-- Reply {now, status counts, waiting, ms the oldest due step is late, {name, held, limit or '' where no worker has it, …}, {queue, messages, …}, steps,
--        audit findings, {tenant, waiting, id that goes first, …} of tenants, 1 while all is paused,
--        ms that a place is held of late or -1, jobs and folders that could not be removed, how often Redis' clock was set,
--        ms that `now` is ahead of it}
-- @include prelude
local MOST_TENANTS = 200
local prefix = ARGV[1]
local upstreams, messages = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
  upstreams[#upstreams + 1] = name
  upstreams[#upstreams + 1] = redis.call('ZCARD', KEY.places .. name)
  local key = redis.call('HMGET', KEY.upstream .. name, 'limit', 'seen')
  -- of a key that is in no worker's configuration any more only what it still holds counts: nobody can use its places
  upstreams[#upstreams + 1] = is_seen(key[2]) and (key[1] or '0') or ''
end
for _, queue in ipairs({'submit', 'settle', 'collect', 'tell'}) do
  messages[#messages + 1] = queue
  messages[#messages + 1] = tostring(redis.call('LLEN', prefix .. queue))
end
local tenants, sizes = {}, redis.call('HGETALL', KEY.backlogs)
for at = 1, math.min(#sizes, 2 * MOST_TENANTS), 2 do
  tenants[#tenants + 1] = sizes[at]
  tenants[#tenants + 1] = sizes[at + 1]
  tenants[#tenants + 1] = redis.call('ZRANGE', KEY.backlog .. sizes[at], 0, 0)[1] or ''
end
local first = redis.call('ZRANGE', KEY.due, 0, 0, 'WITHSCORES')[2]
local late = first and math.max(0, now - tonumber(first)) or 0
return {now, redis.call('HGETALL', KEY.counts), redis.call('GET', KEY.waiting) or '0', late, upstreams, messages,
  redis.call('HGETALL', KEY.stats), redis.call('HGET', KEY.audit, 'findings') or '0', tenants,
  redis.call('EXISTS', KEY.paused), redis.call('HGET', KEY.flow, 'hold_ms') or -1, redis.call('HLEN', KEY.removals_failing),
  redis.call('HGET', KEY.clock, 'steps') or 0, now - shown}
