-- Moves Celery's messages that an older version left, or still writes, to the present keys.
-- Arguments and reply: worker/store/queue.py.
local moved = 0
for _, queue in ipairs(queues) do
  while moved < most do
    local message = redis.call('RPOP', old_prefix .. queue)
    if not message then break end
    redis.call('LPUSH', prefix .. queue, message)
    moved = moved + 1
  end
end
return reply{messages = moved}
