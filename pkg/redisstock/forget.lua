-- Remembers that the log acknowledged claims: marks them a and takes them off the pending list.
--
-- KEYS     1 serials, 2 pending
-- ARGV     members, at most 1000
-- Returns  how many were pending
--
-- What is not there stays away: a deleted key is never made again, or its absence could not be seen.

local stored = redis.call('HMGET', KEYS[1], unpack(ARGV))
local acked = {}
for i, member in ipairs(ARGV) do
  local reserved = stored[i] and string.match(stored[i], '^(%d+|%d+)|?p?$')
  if reserved then
    acked[#acked + 1], acked[#acked + 2] = member, reserved .. '|a'
  end
end
local pending = redis.call('ZCARD', KEYS[2]) -- of the wrong type: fails before the first write
if #acked > 0 then
  redis.call('HSET', KEYS[1], unpack(acked))
end
if pending == 0 then
  return 0
end
return redis.call('ZREM', KEYS[2], unpack(ARGV))
