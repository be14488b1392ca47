-- Index: collector_file's primary key.
INSERT INTO collector_file (collector, hash, name, run, next_offset, next_line, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (collector, hash) DO UPDATE SET
    name = excluded.name, run = excluded.run, next_offset = excluded.next_offset,
    next_line = excluded.next_line, done = false, updated_at = excluded.updated_at
