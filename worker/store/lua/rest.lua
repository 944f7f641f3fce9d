-- Nobody needs to look at an ended job any more, if nothing has come in since it was looked at.
-- ARGV  id, version. Reply {now}
local job = redis.call('HMGET', KEY.job .. ARGV[1], 'version', 'inbox_read')
if job[1] == ARGV[2] and redis.call('LLEN', KEY.inbox .. ARGV[1]) <= tonumber(job[2] or 0) then
  redis.call('ZREM', KEY.due, ARGV[1])
end
return {now}
