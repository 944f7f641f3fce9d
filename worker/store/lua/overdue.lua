-- Hands out a page of jobs that waited until their deadline, for a worker to end them. Tenants take turns; the one
-- served longest ago is first. No other worker gets them. If this worker dies, `due` brings them back a lease later.
-- Arguments and reply: worker/store/queue.py.
local tenants, ids = redis.call('ZRANGE', KEY.overdue, 0, most - 1), {}
local share = math.ceil(most / math.max(1, #tenants))
for _, tenant in ipairs(tenants) do
  local page = redis.call('ZPOPMIN', KEY.overdue_of .. tenant, math.min(share, most - #ids))
  for at = 1, #page, 2 do
    ids[#ids + 1] = page[at]
    redis.call('ZADD', KEY.due, 'XX', now + lease_ms, page[at])
  end
  if redis.call('EXISTS', KEY.overdue_of .. tenant) == 1 then
    redis.call('ZADD', KEY.overdue, now, tenant)
  else
    redis.call('ZREM', KEY.overdue, tenant)
  end
  if #ids == most then break end
end
return reply{ids = ids}
