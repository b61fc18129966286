-- Adds claims of earlier epochs to the keys of a prepared epoch that nobody reads yet.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials
-- ARGV     1 epoch, 2 mark, 3... member, "serial|claimed_ms|mark", ...; at most 1000 pairs
-- Returns  "loaded"
--          "other epoch"  meta is of this epoch or a later one: the keys may hold grants
--          "not loaded"   the keys are not those that were prepared
--
-- A row replaces what is stored of its claim; a carried one never does, so that pages may come twice and in any order.

local live = ask('HGET', KEYS[1], 'epoch')
if live and tonumber(live) >= tonumber(ARGV[1]) then
  return 'other epoch'
end
if not (whole(ask('GET', KEYS[3])) and ask('SCARD', KEYS[2]) and ask('HLEN', KEYS[4])) then
  return 'not loaded'
end

local members = {}
for i = 3, #ARGV, 2 do
  members[#members + 1] = ARGV[i]
end
redis.call('SADD', KEYS[2], unpack(members))
if ARGV[2] ~= 'c' then
  redis.call('HSET', KEYS[4], unpack(ARGV, 3))
  return 'loaded'
end
for i = 3, #ARGV, 2 do
  redis.call('HSETNX', KEYS[4], ARGV[i], ARGV[i + 1])
end
return 'loaded'
