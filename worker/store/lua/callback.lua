-- Stores the raw callback before anything is decided, and wakes the job. The same body is stored only once. Whoever has
-- a token may send anything: what is not stored costs no reading of what was stored before, and what is stored is
-- bounded, per attempt and per job, also after the end and after the removal of the job.
-- Arguments and reply: worker/store/inbox.py.
-- @include memory
-- @include heard
-- @include outbox
local key, inbox, mark = KEY.job .. job_id, KEY.inbox .. job_id, mark_of(attempt, digest, body)

-- A row that is older than orphan_ms goes when the next one comes; the last ones go with the key.
local function drop_old_orphans()
  for _ = 1, most_orphans do
    local at = (redis.call('LINDEX', KEY.orphans, -1) or ''):match('"at":(%d+)')
    if not at or now - tonumber(at) <= orphan_ms then return end
    redis.call('RPOP', KEY.orphans)
  end
end

-- A callback of a job that nobody knows: Redis was restored from an older copy, perhaps. Of a removed job there are
-- none: either its id is still in `removed`, or it is too old for any callback.
local function keep_orphan()
  if not may_be_orphan or redis.call('ZSCORE', KEY.removed, job_id) then return 'gone' end
  local heard = redis.call('GET', KEY.orphans_of .. job_id) or ''
  if is_known(heard, mark) then return 'duplicate' end
  if tally(heard, attempt) >= orphans_per_job or #body > orphan_bytes then return 'dropped' end
  redis.call('SET', KEY.orphans_of .. job_id, heard .. mark, 'PX', orphan_ms)
  drop_old_orphans()
  redis.call('LPUSH', KEY.orphans, cjson.encode({at = now, job = job_id, attempt = attempt, body = body}))
  redis.call('LTRIM', KEY.orphans, 0, most_orphans - 1)
  redis.call('PEXPIRE', KEY.orphans, orphan_ms)
  return 'orphan'
end

if redis.call('HEXISTS', key, 'doc') == 0 then return reply{verdict = keep_orphan()} end

local ended_at = tonumber(redis.call('ZSCORE', KEY.finished, job_id))
if ended_at and now - ended_at > grace_ms and not still_heard then return reply{verdict = 'ended'} end
local status, heard, tenant, counted = unpack(redis.call('HMGET', key, 'status', 'heard', 'tenant', 'bytes'))
heard = heard or ''
if is_known(heard, mark) then return reply{verdict = 'duplicate'} end

-- the first callback of an attempt has room even where those of other attempts have used up the job's
local rows, bytes, own = tally(heard, attempt)
rows = math.max(rows, redis.call('LLEN', inbox)) -- an older version left no marks
local has_room = rows < most_rows and bytes + #body <= most_bytes or own == 0 and rows < 2 * most_rows
if not has_room or (ended_at and own >= most_after_end) then
  redis.call('HINCRBY', KEY.stats, status .. ' callback_dropped', 1)
  return reply{verdict = ended_at and 'dropped' or 'full'}
end
grow(job_id, tenant, counted, #mark + #body + CALLBACK_BYTES)
redis.call('RPUSH', inbox, now .. ' ' .. attempt .. ' ' .. body)
redis.call('HSET', key, 'heard', heard .. mark)
note_health('callback')
redis.call('ZADD', KEY.due, 'LT', now + lease_ms, job_id)
redis.call('HSET', key, 'pushed', now)
push_in_turn(template, prefix, 'settle', 'settle', job_id, tenant)
return reply{verdict = 'kept'}
