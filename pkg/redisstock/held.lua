-- Reads what is remembered of claims. Changes nothing.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials
-- ARGV     1 epoch, 2... members, at most 1000
-- Returns  one slot for each member:
--            a string  "serial|claimed_ms|mark" as stored
--            0         there is no such claim
--            -8        this Redis cannot say: the keys are not whole, or it does not own the epoch and has no such claim

local BROKEN = -8

local meta = ask('HMGET', KEYS[1], 'epoch', 'lo', 'base', 'seal') or {}
local lo, base, seal = tonumber(meta[2]), tonumber(meta[3]), meta[4]
local count = whole(ask('GET', KEYS[3]))
local agree = meta[1] == ARGV[1] and lo and base and seal and count
if agree then
  local members = base + count - lo + 1
  agree = ask('SCARD', KEYS[2]) == members and ask('HLEN', KEYS[4]) == members
end

local reply = {}
local stored = agree and ask('HMGET', KEYS[4], unpack(ARGV, 2))
local owns
for i = 1, #ARGV - 1 do
  reply[i] = stored and stored[i] or BROKEN
  if stored and not stored[i] then
    if owns == nil then owns = seal == '' or replication_id() == seal end
    reply[i] = owns and 0 or BROKEN
  end
end
return reply
