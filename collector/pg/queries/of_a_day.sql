-- Index: collector_run_by_collector.
SELECT coalesce(sum(rows) FILTER (WHERE started_at > $2), 0), coalesce(sum(rejected) FILTER (WHERE started_at > $2), 0), max(started_at)
FROM collector_run WHERE collector = $1
