-- Stores the raw callback before anything is decided, and wakes the job. The same body is stored only once.
-- Arguments and reply: worker/store/inbox.py.
-- @include prelude
if redis.call('HEXISTS', KEY.job .. job_id, 'doc') == 0 then
  redis.call('LPUSH', KEY.orphans, orphan)
  redis.call('LTRIM', KEY.orphans, 0, 999)
  return reply{verdict = 'orphan'}
end
local inbox, row = KEY.inbox .. job_id, attempt .. ' ' .. body
local rows = redis.call('LRANGE', inbox, 0, -1)
local unread = #rows - tonumber(redis.call('HGET', KEY.job .. job_id, 'inbox_read') or 0)
for _, earlier in ipairs(rows) do
  if earlier:match('^%d+ (.*)$') == row then return reply{verdict = 'duplicate'} end
end
if unread >= most_unread or #rows >= 10 * most_unread then return reply{verdict = 'full'} end
redis.call('RPUSH', inbox, now .. ' ' .. row)
note_health('callback')
redis.call('ZADD', KEY.due, 'LT', now + lease_ms, job_id)
redis.call('HSET', KEY.job .. job_id, 'pushed', now)
push(template, prefix, 'settle', 'settle', job_id)
return reply{verdict = 'kept'}
