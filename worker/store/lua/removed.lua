-- A folder is removed for good: removes its tombstone. ARGV  folder. Reply {now}
redis.call('ZREM', KEY.tombstones, ARGV[1])
redis.call('HDEL', KEY.removals_failing, 'tombstones ' .. ARGV[1])
return {now}
