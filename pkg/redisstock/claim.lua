-- Decides, in order of arrival, who of a batch is in time, and remembers the winners.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials, 5 pending
-- ARGV     1 the caller's epoch, 2... members: "user" for n = 1, "n/user" above; at most 1000
-- Returns  {now in ms, hi, slot...}, one slot for each member:
--            an integer > 0  granted, its serial
--            an integer < 0  refused, a code below
--            a string        held already, "serial|claimed_ms|mark" as stored
--
-- A member is always answered with what is stored, whatever the campaign's state. The others are judged in this order: meta
-- and epoch, whether the keys agree, the seal, state and window, and then each by itself: the per-user limit, the stock.
-- Keys and seal come before all that is said about the campaign, because only keys that agree, on the Redis that owns the
-- epoch, say who is no member: a holder must not be told "paused" when it is the set of members that is lost or set back.
--
-- Every check comes before the first write: Lua has no roll-back.

local SOLD_OUT, NOT_STARTED, ENDED, PAUSED, PER_USER, WRONG_EPOCH, UNSEALED, BROKEN = -1, -2, -3, -4, -5, -6, -7, -8
local SWEEP_AFTER = 2000 -- ms after which a sweeper may publish a claim that nobody forgot

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local meta = ask('HMGET', KEYS[1], 'epoch', 'state', 'seal', 'hi', 'lo', 'base', 'opens', 'closes', 'per_user') or {}
local epoch, state, seal = meta[1], meta[2], meta[3]
local hi, lo, base = tonumber(meta[4]), tonumber(meta[5]), tonumber(meta[6])
local opens, closes, per_user = tonumber(meta[7]), tonumber(meta[8]), tonumber(meta[9])
local count

local function refused_by_meta()
  if not (epoch and state and seal and hi and lo and base and opens and closes and per_user) then return BROKEN end
  if epoch ~= ARGV[1] or state == 'fenced' then return WRONG_EPOCH end
end

local function refused_by_keys()
  count = whole(ask('GET', KEYS[3]))
  if not count then return BROKEN end
  local members = base + count - lo + 1
  if ask('SCARD', KEYS[2]) ~= members or ask('HLEN', KEYS[4]) ~= members then return BROKEN end
  if not ask('ZCARD', KEYS[5]) then return BROKEN end
end

local function refused_by_window()
  if state == 'paused' then return PAUSED end
  if state == 'closed' then return ENDED end
  if state ~= 'open' then return BROKEN end
  if now < opens then return NOT_STARTED end
  if now >= closes then return ENDED end
end

local function refused_by_seal()
  if seal ~= '' and replication_id() ~= seal then return UNSEALED end
end

local function over_user_limit(member)
  local n = tonumber(string.match(member, '^(.-)/') or 1)
  return not n or n < 1 or n > per_user
end

local reply = {now, hi or 0}
local held, held_at, others_at = {}, {}, {}
local known = ask('SMISMEMBER', KEYS[2], unpack(ARGV, 2)) or {}
for i = 2, #ARGV do
  reply[i + 1] = BROKEN
  if known[i - 1] == 1 then
    held[#held + 1], held_at[#held_at + 1] = ARGV[i], i + 1
  else
    others_at[#others_at + 1] = i + 1
  end
end

if #held > 0 then
  local stored = ask('HMGET', KEYS[4], unpack(held)) or {}
  for i, at in ipairs(held_at) do
    reply[at] = stored[i] or BROKEN
  end
end
if #others_at == 0 then
  return reply
end

local refusal = refused_by_meta() or refused_by_keys() or refused_by_seal() or refused_by_window()
local winners, serials, pending, mine = {}, {}, {}, {}
local due = text(now + SWEEP_AFTER)
local tail = '|' .. text(now) .. '|p'
for _, at in ipairs(others_at) do
  local member = ARGV[at - 1]
  if refusal then
    reply[at] = refusal
  elseif over_user_limit(member) then
    reply[at] = PER_USER
  elseif mine[member] then -- a twin in the batch
    reply[at] = mine[member]
  elseif count + #winners >= hi then
    reply[at] = SOLD_OUT
  else
    local serial = count + #winners + 1
    mine[member] = text(serial) .. tail
    reply[at] = serial
    winners[#winners + 1] = member
    serials[#serials + 1], serials[#serials + 2] = member, mine[member]
    pending[#pending + 1], pending[#pending + 2] = due, member
  end
end
if #winners == 0 then
  return reply
end

redis.call('SADD', KEYS[2], unpack(winners))
redis.call('INCRBY', KEYS[3], #winners)
redis.call('HSET', KEYS[4], unpack(serials))
redis.call('ZADD', KEYS[5], unpack(pending))
return reply
