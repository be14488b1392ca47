INSERT INTO collector_run (collector, config_version, file, file_hash, file_bytes, state, started_at, from_line, pass)
VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, nullif($8::bigint, 0)) RETURNING id
