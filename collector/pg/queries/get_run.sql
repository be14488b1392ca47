-- Index: collector_run's primary key.
SELECT id, collector, config_version, file, file_hash, file_bytes, coalesce(pass, 0), state, message, started_at, ended_at, from_line,
    rows, sent, rejected, bytes, seconds, first_event, last_event, filtered, events
FROM collector_run WHERE id = $1
