-- Index: collector_seen_afterwards.
SELECT path, size, modified, version, since, state, hash, message, config_version, afterwards
FROM collector_seen WHERE collector = $1 AND afterwards ORDER BY path
