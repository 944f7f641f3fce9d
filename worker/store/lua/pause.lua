-- Takes a tenant out of the queue, or puts it back. Its jobs stay in its backlog, and it gets no credit for the pause.
--
-- ARGV  tenant, reason or '' to put it back
-- Reply {now}
-- @include queue
local tenant = ARGV[1]
if ARGV[2] ~= '' then
  redis.call('HSET', KEY.tenant .. tenant, 'paused', ARGV[2])
else
  redis.call('HDEL', KEY.tenant .. tenant, 'paused')
  catch_up(tenant)
end
line_up(tenant)
return {now}
