-- Takes the pending claims that are due, the longest due first, and leases them to the caller.
--
-- KEYS     1 serials, 2 pending
-- ARGV     1 how many at most (1000), 2 lease in ms, 3 for how many ms they must have been due
-- Returns  {member, "serial|claimed_ms|mark", ...}
--
-- If the taker dies, its claims are due again when the lease is over. A member without a serial is leased too, or a page
-- of them would hide all others for ever; it cannot be published and is not returned.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local members = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now - ARGV[3]), 'LIMIT', 0, ARGV[1])
if #members == 0 then
  return {}
end

local stored = redis.call('HMGET', KEYS[1], unpack(members))
local taken, leases = {}, {}
local lease_end = text(now + ARGV[2])
for i, member in ipairs(members) do
  leases[#leases + 1], leases[#leases + 2] = lease_end, member
  if stored[i] then
    taken[#taken + 1], taken[#taken + 2] = member, stored[i]
  end
end
redis.call('ZADD', KEYS[2], 'XX', unpack(leases))
return taken
