-- Keeps the beginning of a message that is not ours, and counts it. `row` is JSON without a time, beginning with `{`.
-- Arguments: worker/store/parking.py.
redis.call('HINCRBY', KEY.parked_counts, queue .. ' ' .. why, 1)
redis.call('LPUSH', KEY.parked, '{"at":' .. now .. ',' .. row:sub(2))
redis.call('LTRIM', KEY.parked, 0, most - 1)
return reply{}
