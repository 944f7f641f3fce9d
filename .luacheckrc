-- For tests/luacheck.py: what a script finds in Redis. Nothing else is there: no os, no io, no require.
std = "none"
read_globals = {
  "ARGV", "KEYS", "redis", "cjson", "cmsgpack", "bit", "struct", "string", "table", "math",
  "assert", "error", "ipairs", "next", "pairs", "pcall", "select", "tonumber", "tostring", "type", "unpack",
}
max_line_length = false
