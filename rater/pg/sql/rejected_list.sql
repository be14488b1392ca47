-- Index: rejected_usage_by_state in its order, from the cursor on; with an account rejected_usage_by_account.
SELECT partition, usage_offset, event_index, log_time, reason, state, retry, event, raw
FROM rejected_usage
WHERE state = $1
  AND ($2 = '' OR reason = $2)
  AND ($3 = '' OR account = $3)
  AND ($4 = '' OR product = $4)
  AND ($5 = '' OR source = $5)
  AND ($6::bigint = 0 OR log_time >= $6)
  AND ($7::bigint = 0 OR log_time < $7)
  AND ($13 = '' OR event_id = $13)
  AND log_time <= $8 AND (log_time < $8 OR (partition, usage_offset, event_index) > ($9, $10, $11))
ORDER BY log_time DESC, partition, usage_offset, event_index
LIMIT $12
