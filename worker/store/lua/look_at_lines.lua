-- Gives free places to those in line, because a worker that died gives none back. Any number of processes may run it.
-- Arguments: worker/telling/scripts.py.
-- @include lines
-- @include telling
look_at_lines(telling(template, prefix, lease_ms, claim_ms, caps, ''), most)
return reply{}
