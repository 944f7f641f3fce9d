-- How results came in the last minutes, and whether the image store can be written.
--
-- ARGV  minutes to look back
-- Reply {now, callbacks, polls, reason the store is away or ''}
local callbacks, polls = 0, 0
for back = 0, tonumber(ARGV[1]) - 1 do
  local seen = redis.call('HMGET', KEY.health .. (math.floor(now / 60000) - back), 'callback', 'poll')
  callbacks = callbacks + tonumber(seen[1] or 0)
  polls = polls + tonumber(seen[2] or 0)
end
return {now, callbacks, polls, redis.call('GET', KEY.store_away) or ''}
