-- How results came in the last minutes, and whether the image store can be written.
-- Arguments and reply: worker/store/condition.py.
local callbacks, polls = 0, 0
for back = 0, minutes - 1 do
  local seen = redis.call('HMGET', KEY.health .. (math.floor(now / 60000) - back), 'callback', 'poll')
  callbacks = callbacks + tonumber(seen[1] or 0)
  polls = polls + tonumber(seen[2] or 0)
end
return reply{callbacks = callbacks, winning_polls = polls, images_away = redis.call('GET', KEY.store_away)}
