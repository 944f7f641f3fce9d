-- Counts over the whole store, in one moment. Arguments and reply: worker/store/census.py.
-- @include prelude
local MOST_TENANTS = 200

-- How many wait for their turn. To a scaler they are messages like those in the list.
local function in_outbox(queue)
  local total = 0
  for _, tenant in ipairs(redis.call('ZRANGE', KEY.outboxes .. queue, 0, -1)) do
    total = total + redis.call('ZCARD', KEY.outbox .. queue .. ':' .. tenant)
  end
  return total
end

local accounts, messages, tenants = {}, {}, {}
for _, name in ipairs(redis.call('SMEMBERS', KEY.upstreams)) do
  local limit, seen = unpack(redis.call('HMGET', KEY.upstream .. name, 'limit', 'seen'))
  -- an account that is in no worker's configuration shows only the places that it still holds, but no limit
  limit = is_seen(seen) and (limit or 0)
  accounts[#accounts + 1] = {name = name, held = redis.call('ZCARD', KEY.places .. name), limit = limit}
end
for _, queue in ipairs({'submit', 'settle', 'collect', 'tell'}) do
  messages[#messages + 1] = queue
  messages[#messages + 1] = redis.call('LLEN', prefix .. queue) + in_outbox(queue)
end
local sizes = redis.call('HGETALL', KEY.backlogs)
for at = 1, math.min(#sizes, 2 * MOST_TENANTS), 2 do
  local first = redis.call('ZRANGE', KEY.backlog .. sizes[at], 0, 0)[1]
  tenants[#tenants + 1] = {name = sizes[at], waiting = sizes[at + 1], first = first}
end
local due = redis.call('ZRANGE', KEY.due, 0, 0, 'WITHSCORES')[2]
return reply{
  by_status = redis.call('HGETALL', KEY.counts),
  accounts = accounts,
  messages = messages,
  steps = redis.call('HGETALL', KEY.stats),
  tenants = tenants,
  paused = redis.call('EXISTS', KEY.paused) == 1,
  overdue_ms = due and math.max(0, now - tonumber(due)) or 0,
  removals_failing = redis.call('HLEN', KEY.removals_failing),
  clock_ahead_ms = now - shown,
  waiting = redis.call('GET', KEY.waiting),
  audit_findings = redis.call('HGET', KEY.audit, 'findings'),
  hold_ms = redis.call('HGET', KEY.flow, 'hold_ms'),
  clock_steps = redis.call('HGET', KEY.clock, 'steps'),
  parked = redis.call('HGETALL', KEY.parked_counts),
  takers = redis.call('HGETALL', KEY.takers),
}
