-- Ends a delivery that cannot be sent. ARGV  delivery id, state. Reply {now}
-- @include telling
if redis.call('EXISTS', KEY.delivery .. ARGV[1]) == 1 then to_state(ARGV[1], ARGV[2]) end
redis.call('ZREM', KEY.deliveries_due, ARGV[1])
return {now}
