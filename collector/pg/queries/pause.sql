-- Index: collector_state's primary key.
INSERT INTO collector_state AS s (name, paused, changed_at) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, changed_at = excluded.changed_at WHERE s.paused <> excluded.paused
