-- One row. The server's clock decides, so that processes need not agree on the time.
INSERT INTO rerate_lease AS l (owner, until) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (only_row) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE l.owner = excluded.owner OR l.until <= clock_timestamp()
