-- Keeps the raw callback before anything is decided, and wakes the job. The same body twice is kept once.
--
-- ARGV  template, prefix, lease_ms, job id, attempt number, body, most unread rows, orphan row
-- Reply {now, 'kept' | 'duplicate' | 'full' | 'orphan'}
-- @include prelude
local template, prefix, lease, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if redis.call('HEXISTS', KEY.job .. id, 'doc') == 0 then
  redis.call('LPUSH', KEY.orphans, ARGV[8])
  redis.call('LTRIM', KEY.orphans, 0, 999)
  return {now, 'orphan'}
end
local inbox, row = KEY.inbox .. id, ARGV[5] .. ' ' .. ARGV[6]
local kept = redis.call('LRANGE', inbox, 0, -1)
local unread = #kept - tonumber(redis.call('HGET', KEY.job .. id, 'inbox_read') or 0)
for _, earlier in ipairs(kept) do
  if earlier:match('^%d+ (.*)$') == row then return {now, 'duplicate'} end
end
if unread >= tonumber(ARGV[7]) or #kept >= 10 * ARGV[7] then return {now, 'full'} end
redis.call('RPUSH', inbox, now .. ' ' .. row)
note_health('callback')
redis.call('ZADD', KEY.due, 'LT', now + lease, id)
redis.call('HSET', KEY.job .. id, 'pushed', now)
push(template, prefix, 'settle', 'settle', id)
return {now, 'kept'}
