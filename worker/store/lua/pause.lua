-- Takes a tenant out of the queue, or puts it back. Its jobs stay in its backlog, and it gets no credit for the
-- pause. Arguments: worker/operate/flow.py.
-- @include queue
if reason then
  redis.call('HSET', KEY.tenant .. tenant, 'paused', reason)
else
  redis.call('HDEL', KEY.tenant .. tenant, 'paused')
  catch_up(tenant)
end
line_up(tenant)
return reply{}
