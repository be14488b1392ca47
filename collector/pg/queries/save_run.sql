-- Counts are absolute, so that saving twice counts once. Index: collector_run's primary key.
UPDATE collector_run SET state = $2, message = $3, ended_at = $4, rows = $5, sent = $6, rejected = $7,
    bytes = $8, seconds = $9, first_event = $10, last_event = $11, filtered = $12, events = $13
WHERE id = $1
