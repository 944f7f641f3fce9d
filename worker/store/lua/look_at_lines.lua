-- Gives free places to those in line, because a worker that died gives none back. Any number of processes may run it.
--
-- ARGV  template, prefix, lease_ms, claim_ms, caps, at most so many lines
-- Reply {now}
-- @include lines
-- @include telling
look_at_lines(telling(ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ''), tonumber(ARGV[6]))
return {now}
