-- Ends a delivery that cannot be sent. Arguments: worker/telling/scripts.py.
-- @include telling
if redis.call('EXISTS', KEY.delivery .. delivery_id) == 1 then to_state(delivery_id, state) end
redis.call('ZREM', KEY.deliveries_due, delivery_id)
return reply{}
