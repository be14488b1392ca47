-- Saving twice adds once. Index: collector_error's primary key.
INSERT INTO collector_error (run, line, id, code, message, raw)
SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[])
ON CONFLICT (run, line) DO NOTHING
