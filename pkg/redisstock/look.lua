-- Judges whether the claim state of a campaign can be trusted. Changes nothing.
--
-- KEYS     1 meta, 2 users, 3 count, 4 serials, 5 pending
-- ARGV     1 epoch, 2 lo, 3 base, 4 seal, as MySQL has them
-- Returns  {finding, why}; finding is
--            "sound"     open at the epoch, on the Redis that owns it, and the keys agree
--            "unopened"  loaded and untouched, and no document of the epoch is there
--            "lost"      anything else
--            "replica"   this Redis cannot say: it is no master

local meta = ask('HMGET', KEYS[1], 'epoch', 'state', 'lo', 'base', 'seal', 'version', 'hi', 'opens', 'closes', 'per_user')
local count = whole(ask('GET', KEYS[3]))
local users, serials, pending = ask('SCARD', KEYS[2]), ask('HLEN', KEYS[4]), ask('ZCARD', KEYS[5])
local epoch, lo, base, owner = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local function lost(why) return {'lost', why} end

local seal, own = meta and meta[5] or '', nil
if owner ~= '' or seal ~= '' then
  own = replication_id()
  if not own then return {'replica', 'this Redis is no master'} end
end

if not meta then return lost('meta is no hash') end
local live = meta[1] and tonumber(meta[1])
if not live and ask('HLEN', KEYS[1]) > 0 then return lost('the document has no epoch') end
if live and live > epoch then return lost('a later epoch is open: ' .. meta[1]) end

if live ~= epoch then
  if owner ~= '' and own ~= owner then return lost('no document of the epoch, and this Redis does not own it') end
  if count == lo - 1 and users == base and serials == base and pending == 0 then
    return {'unopened', 'the epoch is loaded and not yet open'}
  end
  return lost('no document of the epoch, and its keys are not as they were loaded')
end

if meta[2] == 'fenced' then return lost('the epoch is fenced') end
if meta[2] ~= 'open' and meta[2] ~= 'paused' and meta[2] ~= 'closed' then return lost('the document has no state') end
for i = 6, 10 do
  if not tonumber(meta[i] or '') then return lost('the document has holes') end
end
if not meta[5] or meta[3] ~= ARGV[2] or meta[4] ~= ARGV[3] or (owner ~= '' and seal ~= '' and seal ~= owner) then
  return lost('the document and the record disagree')
end
if seal ~= '' and own ~= seal then return lost('the seal is broken: this Redis restarted, or is another one') end
if not (count and users and serials and pending) then return lost('a key is missing or not of its type') end
local members = base + count - lo + 1
if users ~= members or serials ~= members then
  return lost('count wants ' .. text(members) .. ' members, there are ' .. text(users) .. ' with ' .. text(serials) .. ' serials')
end
return {'sound', ''}
