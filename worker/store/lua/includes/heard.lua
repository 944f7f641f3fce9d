-- Which callbacks have come for a job, as one text, so that a duplicate is known without reading any body. Each
-- callback leaves a mark: '<attempt> <digest of the body> <bytes>;'. The marks live with the job's record.

local function mark_of(attempt, digest, body)
  return attempt .. ' ' .. digest .. ' ' .. #body .. ';'
end

local function is_known(heard, mark)
  return string.find(';' .. heard, ';' .. mark, 1, true) ~= nil
end

-- How many marks there are, how many bytes their bodies have, and how many marks are of this attempt.
local function tally(heard, attempt)
  local rows, bytes, own = 0, 0, 0
  for its_attempt, size in heard:gmatch('(%d+) %S+ (%d+);') do
    rows, bytes = rows + 1, bytes + tonumber(size)
    if tonumber(its_attempt) == attempt then own = own + 1 end
  end
  return rows, bytes, own
end
