-- Newest first, of one collector. Index: collector_pass_by_collector.
SELECT id, collector, config_version, cause, state, message, started_at, ended_at, found, known, waiting, old, taken, failed, skipped
FROM collector_pass WHERE collector = $1 AND id < $2 ORDER BY id DESC LIMIT $3
