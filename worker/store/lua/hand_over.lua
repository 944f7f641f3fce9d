-- Wakes the collection of a job that somebody else has looked at: who decides does not download.
-- A crash before it loses nothing: the job is looked at again when it is due.
--
-- ARGV  template, prefix, id
-- Reply {now}
-- @include prelude
local template, prefix, id = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HEXISTS', KEY.job .. id, 'doc') == 1 then
  redis.call('HSET', KEY.job .. id, 'pushed', now)
  push(template, prefix, 'collect', 'collect', id)
end
return {now}
