-- Index: collector_state's primary key.
INSERT INTO collector_state AS s (name, wanted) VALUES ($1, true)
ON CONFLICT (name) DO UPDATE SET wanted = true WHERE NOT s.paused
