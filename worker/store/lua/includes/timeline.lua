-- For the script that writes a timeline's next row: it stays small however often a job is refused.
--
-- A timeline is rows, one a line, oldest first: [at, to, cause, attempt]. One that grows beyond MOST_BYTES loses its
-- middle: the first rows and the newest stay, and between them a line says what is gone: [how many rows are left out,
-- status that the last of them led to]. So rows keep their numbers, which events have as ids.
local MOST_BYTES, NEWEST_BYTES, FIRST_ROWS = 6144, 3072, 10

local function with_row(timeline, row)
  local longer = timeline .. '\n' .. row
  if #longer <= MOST_BYTES then return longer end
  local rows = {}
  for line in longer:gmatch('[^\n]+') do rows[#rows + 1] = line end
  local last, bytes = #rows, 0 -- of those that go
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
