-- Index: rejected_usage_waiting in its order.
SELECT partition, usage_offset, event_index, log_time, reason, state, retry, event, raw
FROM rejected_usage
WHERE state = 'open' AND reason = 'correction_waits' AND account = $1 AND partition = $2 AND usage_offset < $3
ORDER BY account, partition, usage_offset, event_index
LIMIT $4
