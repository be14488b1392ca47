-- Writes one part of a projection, atomically. All keys carry the partition's hash tag.
-- KEYS: head, invoices by the end of their period, then one hash for each invoice.
-- ARGV: expect, next, force, move, rebuilding, clear, log time, through, drop before, channel, message,
--       then for each invoice: end of its period, number of lines, and for each line: id, value.
-- A value begins with its version, 19 decimal digits, which sort as text in every locale.
-- Returns 1, or 0 when another head stood there and nothing was written.
local expect, next_head, force, move = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
local rebuilding, clear, log_time, through = ARGV[5], ARGV[6] == '1', ARGV[7], ARGV[8]
local head = redis.call('HMGET', KEYS[1], 'token', 'rebuilding')
local found = head[1]
-- A repeat of a write whose answer was lost finds its own head: to write it again changes nothing.
if not force and (not found or (found ~= expect and found ~= next_head)) then
  return 0
end
if clear and found ~= next_head then
  for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    redis.call('DEL', key)
  end
  redis.call('DEL', KEYS[2])
end
local at = 12
for k = 3, #KEYS do
  local key, ends, count = KEYS[k], ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  local stop, known = at + 2 * count, false
  while at < stop do
    -- Few enough arguments for Lua's stack.
    local last = math.min(at + 2000, stop)
    local ids = {}
    for i = at, last - 1, 2 do
      ids[#ids + 1] = ARGV[i]
    end
    local stored, changed = redis.call('HMGET', key, unpack(ids)), {}
    for i = 1, #ids do
      local value = ARGV[at + 2 * i - 1]
      local old = stored[i]
      known = known or old
      if not old or string.sub(old, 1, 19) <= string.sub(value, 1, 19) then
        changed[#changed + 1] = ids[i]
        changed[#changed + 1] = value
      end
    end
    if #changed > 0 then
      redis.call('HSET', key, unpack(changed))
    end
    at = last
  end
  if not known then
    redis.call('ZADD', KEYS[2], ends, key)
  end
end
if move then
  redis.call('HSET', KEYS[1], 'token', next_head, 'rebuilding', rebuilding, 'log_time', log_time, 'through', through)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[9], 'LIMIT', 0, 64)) do
    redis.call('DEL', key)
    redis.call('ZREM', KEYS[2], key)
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
