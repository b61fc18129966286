-- Ends the grants of an epoch for good: a late push or a repeated opening of it is refused from now on.
--
-- KEYS     1 meta
-- ARGV     1 epoch
-- Returns  1 when the epoch is fenced, now or before; 0 and changes nothing when meta is of another epoch or is not there

if ask('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'fenced')
return 1
