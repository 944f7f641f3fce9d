-- Accepts one request or one batch of a tenant: record, idempotency row, budget, place in the queue, Celery message;
-- all or nothing. Safe to run twice with the same ids: a client library that repeats a lost call changes nothing.
--
-- ARGV  template, prefix, lease_ms, idempotency key or '', fingerprint (and ':' and the one that older rows have),
--       idempotency ttl_ms, tenant, day,
--       most jobs waiting, how many more of a tenant of which fewer wait; then the tenant's defaults, 0 for none: requests a second, burst, jobs waiting, images a day,
--       images a month; '1' where a job of these asks to be refused rather than late, or '';
--       then per job: id, order, doc, timeline row, created_ms, due_ms, rank, priority, images, refuse it rather than late '1' or ''
-- Reply {now, 'created' | 'same' | 'mismatch', ids joined by ',', {standing} or {} where none waits,
--        per job '<its tenant's before it> <jobs before it> <ms until its place or -1>' or '-' where it has its place, joined by ','}
--    or {now, 'full' | 'tenant_full' | 'rate' | 'budget' | 'late', ms until it is worth trying again, limit, used}
-- @include budget
-- @include standing
local template, prefix, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])
local idempotency, tenant, day = ARGV[4], ARGV[7], ARGV[8]
local fingerprint, older = ARGV[5]:match('^([^:]*):?(.*)$')
local FIRST, EACH = 17, 10

local ids, images = {}, 0
for at = FIRST, #ARGV, EACH do
  ids[#ids + 1] = ARGV[at]
  images = images + ARGV[at + 8]
end
if redis.call('EXISTS', KEY.job .. ids[1]) == 1 then return {now, 'created', table.concat(ids, ','), {}, ''} end

if idempotency ~= '' then
  local earlier = redis.call('GET', idempotency)
  if earlier then
    local print, known = earlier:match('^(%S+) (.*)$')
    return {now, (print == fingerprint or print == older) and 'same' or 'mismatch', known, {}, ''}
  end
end

-- What an operator has set for the tenant, or the installation's default; nil where there is no limit.
local set = redis.call('HMGET', KEY.tenant .. tenant, 'rate', 'burst', 'waiting', 'images_day', 'images_month', 'paused')
local limits = {}
for at = 1, 5 do
  local limit = tonumber(set[at] or ARGV[10 + at])
  limits[at] = limit > 0 and limit or nil
end
local rate = limits[1]
local burst = (set[2] or not set[1]) and limits[2] or rate and math.ceil(rate) -- a rate of its own has a burst of its own

-- One tenant cannot keep the others out: who has little waiting is let in a little beyond the bound.
local queued, most, reserved = tonumber(redis.call('HGET', KEY.counts, 'queued') or 0) + #ids, tonumber(ARGV[9]), tonumber(ARGV[10])
local size = (limits[3] or queued > most) and tonumber(redis.call('HGET', KEY.backlogs, tenant) or 0)
if queued > most and (size + #ids > reserved or queued > most + reserved) then
  return {now, 'full', 10000, most, 0}
end
if limits[3] and size + #ids > limits[3] then return {now, 'tenant_full', 10000, limits[3], size} end
local period, limit, used = beyond_budget(tenant, day, images, limits[4], limits[5])
if period then return {now, 'budget', period, limit, used} end
local spacing = rate and 1000 / rate
local arrival = rate and math.max(now, tonumber(redis.call('GET', KEY.rate .. tenant) or 0))
if rate and arrival - now > (burst - 1) * spacing + 0.001 then
  return {now, 'rate', math.ceil(arrival - now - (burst - 1) * spacing), math.ceil(rate), 0}
end

-- With nobody waiting and a place free there is no queue to stand in.
local nobody_waits = not set[6] and redis.call('EXISTS', KEY.fair) == 0
local crowd, found
if ARGV[16] == '1' then
  crowd, found = survey(tenant, tonumber(redis.call('HGET', KEY.backlogs, tenant) or 0)), pace()
  local ahead = 0
  for at = FIRST, #ARGV, EACH do
    local own = redis.call('ZCOUNT', KEY.backlog .. tenant, '-inf', ARGV[at + 6])
    local wait = wait_ms(found, jobs_before(crowd, own + ahead, tonumber(ARGV[at + 7])))
    local late = ARGV[at + 9] == '1' and wait and found.done and now + wait + found.done - tonumber(ARGV[at + 5])
    if late and late > 0 then
      return {now, 'late', math.ceil(late), math.ceil(wait + found.done), 0}
    end
    ahead = ahead + 1
  end
end

if idempotency ~= '' then
  redis.call('SET', idempotency, fingerprint .. ' ' .. table.concat(ids, ','), 'PX', ARGV[6])
end
if rate then
  -- a batch is let in as long as there is any room, and pays for all its requests afterwards
  redis.call('SET', KEY.rate .. tenant, string.format('%.3f', arrival + #ids * spacing),
    'PX', math.ceil(arrival - now + #ids * spacing) + 1000)
end
book(tenant, day, images, 0)
local own
for at = FIRST, #ARGV, EACH do
  local id, key = ARGV[at], KEY.job .. ARGV[at]
  redis.call('HSET', key, 'version', 1, 'status', 'queued', 'tenant', tenant, 'order', ARGV[at + 1], 'doc', ARGV[at + 2],
    'timeline', ARGV[at + 3], 'rank', ARGV[at + 6], 'deadline', ARGV[at + 5], 'open', ARGV[at + 8], 'spent', 0)
  if ARGV[at + 7] ~= '5' then redis.call('HSET', key, 'priority', ARGV[at + 7]) end
  redis.call('ZADD', KEY.jobs .. tenant, ARGV[at + 4], id)
  redis.call('ZADD', KEY.due, ARGV[at + 5], id)
  local name = nobody_waits and free_upstream()
  if name then
    dispatch(id, name, template, prefix, lease)
  else
    nobody_waits = false
    own, size = enqueue(id, tenant, ARGV[at + 6])
  end
end
count('queued', #ids)
if nobody_waits then return {now, 'created', table.concat(ids, ','), {}, ''} end

found = pace()
local moved = found.free > 0
if moved then
  pump(template, prefix, lease)
  found, size = pace(), tonumber(redis.call('HGET', KEY.backlogs, tenant) or 0)
end
crowd = survey(tenant, size)
local rows = {}
for at = FIRST, #ARGV, EACH do
  if moved or #ids > 1 then own = redis.call('ZRANK', KEY.backlog .. tenant, ARGV[at]) end
  local before = own and jobs_before(crowd, own, tonumber(ARGV[at + 7]))
  rows[#rows + 1] = own and own .. ' ' .. before .. ' ' .. (not set[6] and wait_ms(found, before) or -1) or '-'
end
return {now, 'created', table.concat(ids, ','), standing_of(0, 0, crowd, found, set[6]), table.concat(rows, ',')}
