-- For scripts that change how many bytes a tenant's jobs use in Redis. KEY.bytes has the sum of each tenant; a job's
-- record says in `bytes` what was counted for it, so that its removal takes back exactly that.
--
-- The texts of a job count as they are: order, doc, timeline, callbacks, tries of deliveries. What Redis needs beside
-- them is counted by these numbers, which were measured (docs/scaling.md).
local JOB_BYTES = 850 -- its hash, and its entries in the indexes
local CALLBACK_BYTES = 100
local DELIVERY_BYTES = 1100 -- its hash after the first try, without the texts of the tries, and its entries
local KEY_ROW_BYTES = 250 -- the row of an Idempotency-Key, without its text

local function change_bytes(tenant, by)
  if redis.call('HINCRBY', KEY.bytes, tenant, by) <= 0 then redis.call('HDEL', KEY.bytes, tenant) end
end

-- What a job's record uses as it is now. Of an older version's record callbacks and deliveries are not counted.
local function weight_of(key)
  return JOB_BYTES + redis.call('HSTRLEN', key, 'order') + redis.call('HSTRLEN', key, 'doc')
    + redis.call('HSTRLEN', key, 'timeline')
end

-- Counts so many more bytes (less, if negative) for a job; before the write, because a record of an older version,
-- which has no `bytes`, is weighed as it stands.
local function grow(job_id, tenant, counted, by)
  local key = KEY.job .. job_id
  if not counted then by = by + weight_of(key) end
  if by == 0 then return end
  redis.call('HINCRBY', key, 'bytes', by)
  change_bytes(tenant, by)
end

-- A job is removed. A record of an older version was never counted.
local function take_back(job_id, tenant)
  local counted = redis.call('HGET', KEY.job .. job_id, 'bytes')
  if counted then change_bytes(tenant, -counted) end
end

-- The row of an Idempotency-Key outlives its job, so it counts apart, until it has expired: by the hour of its writing.
local HOUR_MS, HOURS_KEPT = 3600000, 26 -- idempotency_ms, and the hour in which it was written

local function count_key_row(tenant, bytes)
  local key, hour = KEY.key_rows .. tenant, math.floor(now / HOUR_MS)
  redis.call('HINCRBY', key, 'total', bytes)
  if redis.call('HINCRBY', key, hour, bytes) > bytes then return end
  redis.call('PEXPIRE', key, (HOURS_KEPT + 1) * HOUR_MS) -- the first row of this hour
  for _, each in ipairs(redis.call('HKEYS', key)) do
    if each ~= 'total' and tonumber(each) <= hour - HOURS_KEPT then
      redis.call('HINCRBY', key, 'total', -redis.call('HGET', key, each))
      redis.call('HDEL', key, each)
    end
  end
end

-- Bytes that a tenant uses: its jobs, and the rows of its Idempotency-Keys.
local function bytes_of(tenant)
  return (redis.call('HGET', KEY.bytes, tenant) or 0) + (redis.call('HGET', KEY.key_rows .. tenant, 'total') or 0)
end

-- A number in Redis' INFO. A plain search, because a pattern would be tried at each of its two thousand characters.
local function number_in(facts, name)
  local _, at = facts:find('\n' .. name .. ':', 1, true)
  return at and tonumber(facts:match('^%d+', at + 1))
end

-- Bytes that jobs may still use: what is left of that share of maxmemory; nil: nobody knows. Without a maxmemory it is
-- the machine's memory that is shared, and `is_limit` is false. An ACL may forbid INFO: then the API's look every two
-- seconds stands alone (api/redis_memory.py).
local function look_at_room(share)
  local facts = redis.pcall('INFO', 'memory')
  if type(facts) ~= 'string' then return nil, false end
  local used = number_in(facts, 'used_memory') - (number_in(facts, 'mem_not_counted_for_evict') or 0)
  local most = number_in(facts, 'maxmemory') or 0
  local is_limit = most > 0
  if not is_limit then most = number_in(facts, 'total_system_memory') or 0 end
  return math.floor(most * share - used), is_limit
end

-- The same for an accept of so many bytes, which it uses up. INFO costs a fifth of an accept, so the next look is when
-- half of the room that it showed is used up, or after a second: `left` bytes until then, and `beyond` that.
local FRESH_ROOM_MS = 1000

local function take_room(share, bytes)
  local left, beyond, limits = unpack(redis.call('HMGET', KEY.room, 'left', 'beyond', 'limits'))
  if left and tonumber(left) >= bytes then
    return redis.call('HINCRBY', KEY.room, 'left', -bytes) + beyond + bytes, limits == '1'
  end
  local room, is_limit = look_at_room(share)
  if not room then return nil, false end
  local half = math.floor(room / 2)
  redis.call('HSET', KEY.room, 'left', half - bytes, 'beyond', room - half, 'limits', is_limit and 1 or 0)
  redis.call('PEXPIRE', KEY.room, FRESH_ROOM_MS)
  return room, is_limit
end
