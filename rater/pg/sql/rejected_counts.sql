-- Index: rejected_usage_by_state; with an account rejected_usage_by_account.
SELECT reason, count(*), min(log_time), max(log_time)
FROM rejected_usage
WHERE state = $1
  AND ($2 = '' OR reason = $2)
  AND ($3 = '' OR account = $3)
  AND ($4 = '' OR product = $4)
  AND ($5 = '' OR source = $5)
  AND ($6::bigint = 0 OR log_time >= $6)
  AND ($7::bigint = 0 OR log_time < $7)
  AND ($8 = '' OR event_id = $8)
GROUP BY reason
ORDER BY count(*) DESC, reason
