-- A configuration that is new decides anew when the collector is due. Index: collector_state's primary key.
INSERT INTO collector_state AS s (name, version, next_due) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET version = excluded.version, next_due = excluded.next_due WHERE s.version < excluded.version
