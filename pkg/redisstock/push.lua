-- Brings a newer document to an open epoch: hi, state, window, per-user limit.
--
-- KEYS     1 meta, 2 count
-- ARGV     1 epoch, 2 version, 3 seal, 4 hi, 5 state, 6 opens, 7 closes, 8 per_user
-- Returns  {answer, version, hi, count} as they are afterwards; answer is
--            "held"         meta has this version or a later one
--            "missing"      no meta or no count: nothing is made, a fence is needed
--            "other epoch"  meta is of another epoch, or this epoch is fenced
--            "unsealed"     this Redis is not the owner of the epoch
--
-- A smaller hi is taken only when no serial above it is given out; the rest of the document is taken all the same.

local meta = ask('HMGET', KEYS[1], 'epoch', 'version', 'hi', 'state') or {}
local version, hi, count = tonumber(meta[2]), tonumber(meta[3]), whole(ask('GET', KEYS[2]))
if meta[1] and (meta[1] ~= ARGV[1] or meta[4] == 'fenced') then
  return {'other epoch', version or 0, hi or 0, count or 0}
end
if not (meta[1] and version and hi and count) then
  return {'missing', 0, 0, 0}
end
if ARGV[3] ~= '' and replication_id() ~= ARGV[3] then
  return {'unsealed', version, hi, count}
end
if version >= tonumber(ARGV[2]) then
  return {'held', version, hi, count}
end

local wanted = tonumber(ARGV[4])
if wanted > hi or wanted >= count then
  hi = wanted
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'hi', text(hi),
  'state', ARGV[5], 'opens', ARGV[6], 'closes', ARGV[7], 'per_user', ARGV[8])
return {'held', tonumber(ARGV[2]), hi, count}
