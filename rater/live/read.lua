-- Reads an invoice's lines on one partition together with the head that they belong to.
-- KEYS: head, lines, the set of the invoice's lines. Returns rebuilding, log time, through and the lines' values; nothing without
-- a head.
local head = redis.call('HMGET', KEYS[1], 'rebuilding', 'log_time', 'through')
if not head[1] then
  return {}
end
local ids, values = redis.call('SMEMBERS', KEYS[3]), {}
for i = 1, #ids, 2000 do
  for _, value in ipairs(redis.call('HMGET', KEYS[2], unpack(ids, i, math.min(i + 1999, #ids)))) do
    values[#values + 1] = value
  end
end
return {head[1], head[2], head[3], values}
