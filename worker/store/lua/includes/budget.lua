-- For scripts that reserve, settle or give back images of a tenant's budget.

local DAYS_KEPT = 40 -- a month's budget is the sum of its days

-- The limit that an operator has set for the tenant, or the default; nil: no limit.
local function limit_of(own, default)
  local limit = tonumber(own or default)
  if limit > 0 then return limit end
end

-- `day` is the day of the accept: a job's cost belongs to the budget of that day.
local function book(tenant, day, open, spent)
  local key = KEY.usage .. tenant .. ':' .. day
  if open ~= 0 and redis.call('HINCRBY', key, 'open', open) == open then -- the first booking of the day
    redis.call('EXPIRE', key, DAYS_KEPT * 86400)
    redis.call('SADD', KEY.tenants, tenant)
  end
  if spent ~= 0 then redis.call('HINCRBY', key, 'spent', spent) end
end

-- Images of that day that are bought or reserved; this is compared with the budget.
local function booked(tenant, day)
  local usage = redis.call('HMGET', KEY.usage .. tenant .. ':' .. day, 'open', 'spent')
  return tonumber(usage[1] or 0) + tonumber(usage[2] or 0)
end

-- The whole month, also the days after `day`: a resubmit on a later day belongs to the day of the accept.
local function booked_in_month(tenant, day)
  local images = 0
  for each = 1, 31 do
    images = images + booked(tenant, string.format('%s-%02d', day:sub(1, 7), each))
  end
  return images
end

-- The budget that has no room for so many more images, 1 (day) or 2 (month), and its used images; nil if they fit.
local function over_budget(tenant, day, images, a_day, a_month)
  local used = a_day and booked(tenant, day)
  if used and used + images > a_day then return {number = 1, limit = a_day, used = used} end
  used = a_month and booked_in_month(tenant, day)
  if used and used + images > a_month then return {number = 2, limit = a_month, used = used} end
end
