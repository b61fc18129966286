-- Lets an epoch grant: replaces meta as a whole, iff the loaded keys are here, untouched and on the Redis that owns them.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials
-- ARGV     1 epoch, 2 version, 3 seal, 4 the serial before the first, 5 base, 6... field, value, ... of the document
-- Returns  "opened", also when it was before with this version or a later one
--          "older"        open at this epoch with an older version: push the document
--          "other epoch"  meta is of a later epoch, or this epoch is fenced
--          "unsealed"     this Redis is not the owner of the epoch
--          "not loaded"   count, users or serials are not what they must be before the first grant

if ARGV[3] ~= '' and replication_id() ~= ARGV[3] then
  return 'unsealed'
end

local meta = ask('HMGET', KEYS[1], 'epoch', 'version', 'state') or {}
local live = tonumber(meta[1]) or 0
local epoch = tonumber(ARGV[1])
if live > epoch or (live == epoch and meta[3] == 'fenced') then
  return 'other epoch'
end
if live == epoch then
  return (tonumber(meta[2]) or 0) >= tonumber(ARGV[2]) and 'opened' or 'older'
end

local base = tonumber(ARGV[5])
if ask('GET', KEYS[3]) ~= ARGV[4] or ask('SCARD', KEYS[2]) ~= base or ask('HLEN', KEYS[4]) ~= base then
  return 'not loaded'
end
redis.call('UNLINK', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
return 'opened'
