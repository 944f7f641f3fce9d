-- A folder is removed for good: removes its tombstone. Arguments: worker/images/removal.py.
redis.call('ZREM', KEY.tombstones, folder)
redis.call('HDEL', KEY.removals_failing, KEY.tombstones .. ' ' .. folder)
return reply{}
