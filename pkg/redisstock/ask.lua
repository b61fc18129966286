-- Goes before every other script of this folder: what several of them ask.

-- A key of the wrong type is claim state that broke, which the caller must learn; it is not an error of the call.
local function ask(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  end
  if string.find(reply.err, 'WRONGTYPE', 1, true) then
    return nil
  end
  error(reply.err)
end

-- Lua writes a number of 15 digits or more as 1e+15.
local function text(number)
  return string.format('%.0f', number)
end

-- The number that INCR would read from a value, or nil.
local function whole(value)
  local number = value and tonumber(value)
  if number and text(number) == value then
    return number
  end
  return nil
end

-- The id of this Redis as a master. Nil of a replica, whose id is its master's, and of a server that has none.
local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'role:master.*master_replid:(%x+)')
end

