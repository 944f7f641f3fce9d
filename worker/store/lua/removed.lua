-- A folder is gone for good: so is its tombstone. ARGV  folder. Reply {now}
redis.call('ZREM', 'tombstones', ARGV[1])
redis.call('HDEL', 'removals:failing', 'tombstones ' .. ARGV[1])
return {now}
