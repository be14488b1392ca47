-- The server's clock decides when a lease is over, so that processes need not agree on the time. Index: collector_state's primary key.
WITH due AS (
    SELECT name, CASE WHEN owner <> '' THEN 'takeover' WHEN wanted THEN 'hand' ELSE 'schedule' END AS cause
    FROM collector_state
    WHERE name = $1 AND NOT paused AND lease_until <= clock_timestamp() AND (owner <> '' OR wanted OR next_due <= $3)
    FOR UPDATE SKIP LOCKED
)
UPDATE collector_state s SET owner = $2, token = token + 1, lease_until = clock_timestamp() + make_interval(secs => $4), wanted = false
FROM due WHERE s.name = due.name
RETURNING s.token, due.cause, s.next_due
