-- Index: collector_state's primary key.
UPDATE collector_state SET lease_until = clock_timestamp() + make_interval(secs => $3)
WHERE name = $1 AND token = $2 RETURNING paused
