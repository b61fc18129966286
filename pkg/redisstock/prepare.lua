-- Makes the keys of an epoch that nobody reads yet, with no members.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials, 5 pending
-- ARGV     1 epoch, 2 the serial before its first
-- Returns  1, or 0 and changes nothing when meta is of this epoch or a later one: its keys may hold grants

local live = ask('HGET', KEYS[1], 'epoch')
if live and tonumber(live) >= tonumber(ARGV[1]) then
  return 0
end
redis.call('UNLINK', KEYS[2], KEYS[4], KEYS[5])
redis.call('SET', KEYS[3], ARGV[2])
return 1
