-- Index: rejected_usage_waiting, which holds no other rows; rerate_job_open. An instant of 0 would be all.
SELECT r.account, greatest(min(r.event_time), 1), greatest(max(r.event_time), 1) + 1
FROM rejected_usage r
WHERE r.state = 'open' AND r.reason = 'correction_waits'
  AND NOT EXISTS (SELECT FROM rerate_job j WHERE j.phase <> 'done' AND j.demand AND j.account = r.account)
GROUP BY r.account
ORDER BY r.account
LIMIT $1
