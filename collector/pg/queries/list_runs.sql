-- Newest first, of one collector. Index: collector_run_by_collector.
SELECT id, collector, config_version, file, file_hash, file_bytes, coalesce(pass, 0), state, message, started_at, ended_at, from_line,
    rows, sent, rejected, bytes, seconds, first_event, last_event, filtered, events
FROM collector_run WHERE collector = $1 AND id < $2 ORDER BY id DESC LIMIT $3
