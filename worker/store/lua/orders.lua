-- The orders among some jobs whose status is asked for, and whose text holds all of the words: what may match a list's
-- filter, so that nothing else is sent. Arguments and reply: worker/store/listing.py.
local is_wanted = {}
for status in statuses:gmatch('%S+') do is_wanted[status] = true end
local needles = cjson.decode(words)

local function holds_all(text)
  for _, needle in ipairs(needles) do
    if not text:find(needle, 1, true) then return false end
  end
  return true
end

local rows = {}
for _, id in ipairs(job_ids) do
  local status, order = unpack(redis.call('HMGET', KEY.job .. id, 'status', 'order'))
  if order and is_wanted[status] and holds_all(order) then rows[#rows + 1] = {id = id, order = order} end
end
return reply{rows = rows}
