-- Reads an invoice's lines on one partition together with the head that they belong to.
-- KEYS: head, the invoice's hash. Returns rebuilding, log time, through and the lines' values; nothing without a head.
local head = redis.call('HMGET', KEYS[1], 'rebuilding', 'log_time', 'through')
if not head[1] then
  return {}
end
return {head[1], head[2], head[3], redis.call('HVALS', KEYS[2])}
