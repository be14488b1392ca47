-- Writes one part of a projection, atomically. All keys carry the partition's hash tag.
-- KEYS: head; the lines, a hash by their ids; the invoices by the end of their period. Beside these an invoice has a set of the
-- ids of its lines: its key is ARGV's stem and the invoice's id.
-- ARGV: expect, next, force, move, rebuilding, clear, log time, through, drop before, channel, message, oldest, newest, stem,
--       invoices (for each: its id, 16 bytes; end of its period, 11 digits; number of lines, 4 digits), then in the invoices'
--       order for each line: id, value.
-- A value begins with its version, 19 decimal digits, which sort as text in every locale. Oldest and newest are versions of the
-- part; the head's newest is of all lines that were ever written.
-- Returns 1, or 0 when another head stood there and nothing was written.
local expect, next_head, force, move = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
local rebuilding, clear, log_time, through = ARGV[5], ARGV[6] == '1', ARGV[7], ARGV[8]
local oldest, newest, stem, invoices = ARGV[12], ARGV[13], ARGV[14], ARGV[15]
local first, most = 16, 2000 -- few enough arguments for Lua's stack
local head = redis.call('HMGET', KEYS[1], 'token', 'rebuilding', 'newest')
local found, known = head[1], head[3]
-- A repeat of a write whose answer was lost finds its own head: to write it again changes nothing.
if not force and (not found or (found ~= expect and found ~= next_head)) then
  return 0
end
if clear and found ~= next_head then
  for _, key in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
    redis.call('DEL', key)
  end
  redis.call('DEL', KEYS[3])
  redis.call('UNLINK', KEYS[2])
end
local added = 0
for at = first, #ARGV, most do
  local stop = math.min(at + most, #ARGV + 1) - 1
  if known and known <= oldest then -- nothing that stands there can be newer
    added = added + redis.call('HSET', KEYS[2], unpack(ARGV, at, stop))
  else
    local ids = {}
    for i = at, stop, 2 do
      ids[#ids + 1] = ARGV[i]
    end
    local stored, changed = redis.call('HMGET', KEYS[2], unpack(ids)), {}
    for i = 1, #ids do
      local value = ARGV[at + 2 * i - 1]
      local old = stored[i]
      if not old or string.sub(old, 1, 19) <= string.sub(value, 1, 19) then
        changed[#changed + 1] = ids[i]
        changed[#changed + 1] = value
      end
    end
    if #changed > 0 then
      added = added + redis.call('HSET', KEYS[2], unpack(changed))
    end
  end
end
if added > 0 then
  local at = first
  for i = 1, #invoices, 31 do
    local key = stem .. string.sub(invoices, i, i + 15)
    local stop, new = at + 2 * tonumber(string.sub(invoices, i + 27, i + 30)), 0
    while at < stop do
      local ids = {}
      while at < stop and #ids < most do
        ids[#ids + 1] = ARGV[at]
        at = at + 2
      end
      new = new + redis.call('SADD', key, unpack(ids))
    end
    if new > 0 then
      redis.call('ZADD', KEYS[3], tonumber(string.sub(invoices, i + 16, i + 26)), key)
    end
  end
end
if #ARGV >= first and not (known and newest <= known) then
  redis.call('HSET', KEYS[1], 'newest', newest)
end
if move then
  redis.call('HSET', KEYS[1], 'token', next_head, 'rebuilding', rebuilding, 'log_time', log_time, 'through', through)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[9], 'LIMIT', 0, 64)) do
    local ids = redis.call('SMEMBERS', key)
    for i = 1, #ids, most do
      redis.call('HDEL', KEYS[2], unpack(ids, i, math.min(i + most - 1, #ids)))
    end
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[3], key)
  end
  if head[2] == '1' and rebuilding == '0' then
    redis.call('PUBLISH', ARGV[10], '') -- whoever watches reads again
    return 1
  end
end
if rebuilding == '0' and ARGV[11] ~= '' then
  redis.call('PUBLISH', ARGV[10], ARGV[11])
end
return 1
