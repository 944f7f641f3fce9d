-- Put before scripts that reserve, settle or give back images of a tenant's budget.

local DAYS_KEPT = {[10] = 40, [7] = 400} -- by the length of a period: 2026-11-24, 2026-11

-- `day` is that of the job's accept: what it costs belongs to the budget that it was accepted under.
local function book(tenant, day, jobs, open, spent)
  for _, period in ipairs({day, day:sub(1, 7)}) do
    local key = 'usage:' .. tenant .. ':' .. period
    if jobs ~= 0 and redis.call('HINCRBY', key, 'jobs', jobs) == jobs then -- the first of the period
      redis.call('EXPIRE', key, DAYS_KEPT[#period] * 86400)
      redis.call('SADD', 'tenants', tenant)
    end
    if open ~= 0 then redis.call('HINCRBY', key, 'open', open) end
    if spent ~= 0 then redis.call('HINCRBY', key, 'spent', spent) end
  end
end

-- Images of that period which are bought, or may be: what a budget is compared with.
local function booked(tenant, period)
  local usage = redis.call('HMGET', 'usage:' .. tenant .. ':' .. period, 'open', 'spent')
  return tonumber(usage[1] or 0) + tonumber(usage[2] or 0)
end
