-- Counts are absolute, so that saving twice counts once. Index: collector_pass's primary key.
UPDATE collector_pass SET state = $2, message = $3, ended_at = $4, found = $5, known = $6, waiting = $7, old = $8, taken = $9, failed = $10, skipped = $11
WHERE id = $1
