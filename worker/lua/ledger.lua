-- Put before scripts that reserve, settle or give back images of a tenant's budget.

local DAYS_KEPT = 40 -- a month's budget is the sum of its days

-- `day` is that of the job's accept: what it costs belongs to the budget that it was accepted under.
local function book(tenant, day, open, spent)
  local key = 'usage:' .. tenant .. ':' .. day
  if open ~= 0 and redis.call('HINCRBY', key, 'open', open) == open then -- the first of the day, or a quiet moment
    redis.call('EXPIRE', key, DAYS_KEPT * 86400)
    redis.call('SADD', 'tenants', tenant)
  end
  if spent ~= 0 then redis.call('HINCRBY', key, 'spent', spent) end
end

-- Images of that day which are bought, or may be: what a budget is compared with.
local function booked(tenant, day)
  local usage = redis.call('HMGET', 'usage:' .. tenant .. ':' .. day, 'open', 'spent')
  return tonumber(usage[1] or 0) + tonumber(usage[2] or 0)
end

local function booked_in_month(tenant, day)
  local images = 0
  for each = 1, tonumber(day:sub(9)) do
    images = images + booked(tenant, string.format('%s-%02d', day:sub(1, 7), each))
  end
  return images
end
