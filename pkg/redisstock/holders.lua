-- Reads some of the members of a sold-out epoch. Changes nothing.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials
-- ARGV     1 epoch, 2 hi, 3 cursor, 4 about how many
-- Returns  {next cursor, {member, ...}, how many members there are}
--          {} unless the epoch is sold out at that very hi, on the Redis that owns it, with keys that agree
--
-- Every step judges that anew: members come only while count < hi and never go, so all steps that are answered for one epoch
-- and hi saw the same members, whatever happened between them.

local meta = ask('HMGET', KEYS[1], 'epoch', 'state', 'seal', 'hi', 'lo', 'base') or {}
local seal, hi, lo, base = meta[3], tonumber(meta[4]), tonumber(meta[5]), tonumber(meta[6])
if meta[1] ~= ARGV[1] or meta[2] == 'fenced' or meta[4] ~= ARGV[2] or not (seal and hi and lo and base) then
  return {}
end
if whole(ask('GET', KEYS[3])) ~= hi then
  return {}
end
local members = base + hi - lo + 1
if ask('SCARD', KEYS[2]) ~= members or ask('HLEN', KEYS[4]) ~= members then
  return {}
end
if seal ~= '' and replication_id() ~= seal then
  return {}
end

local page = redis.call('SSCAN', KEYS[2], ARGV[3], 'COUNT', ARGV[4])
return {page[1], page[2], members}
