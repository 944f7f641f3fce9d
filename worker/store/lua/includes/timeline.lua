-- Adds a row to a timeline, and keeps it small however often a job is refused.
--
-- A timeline has one row per line, oldest first: [at, to, cause, attempt]. If it grows beyond MOST_BYTES, it loses its
-- middle. The first rows and the newest ones stay, and a line between them says [number of omitted rows, status after
-- the last of them]. So rows keep their numbers, which are the ids of events.
local MOST_BYTES, NEWEST_BYTES, FIRST_ROWS = 6144, 3072, 10

local function with_row(timeline, row)
  local longer = timeline .. '\n' .. row
  if #longer <= MOST_BYTES then return longer end
  local rows = {}
  for line in longer:gmatch('[^\n]+') do rows[#rows + 1] = line end
  local last, bytes = #rows, 0 -- of the omitted rows
  while last > FIRST_ROWS and bytes + #rows[last] < NEWEST_BYTES do
    bytes = bytes + #rows[last] + 1
    last = last - 1
  end
  if last == FIRST_ROWS then return longer end
  local omitted = 0
  for at = FIRST_ROWS + 1, last do
    omitted = omitted + (rows[at]:match('^%[(%d+),"%a+"%]$') or 1)
  end
  local gap = string.format('[%.0f,"%s"]', omitted, rows[last]:match('"(%a+)"'))
  return table.concat(rows, '\n', 1, FIRST_ROWS) .. '\n' .. gap .. '\n' .. table.concat(rows, '\n', last + 1)
end
