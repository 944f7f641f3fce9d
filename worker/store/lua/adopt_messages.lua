-- Brings Celery's messages that a version before this one left, or still writes, to where they are looked for now.
-- ARGV  prefix of that version, prefix, at most, queues. Reply {now, messages moved}
local moved = 0
for at = 4, #ARGV do
  while moved < tonumber(ARGV[3]) do
    local message = redis.call('RPOP', ARGV[1] .. ARGV[at])
    if not message then break end
    redis.call('LPUSH', ARGV[2] .. ARGV[at], message)
    moved = moved + 1
  end
end
return {now, moved}
