-- Gives the places that nobody gave back to those who wait for them. Any number of processes may run it at any time.
--
-- ARGV  template, prefix, lease_ms, claim_ms, caps, at most so many lines
-- Reply {now}
-- @include lines
-- @include telling
look_at_lines(telling(ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ''), tonumber(ARGV[6]))
return {now}
