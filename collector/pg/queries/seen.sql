-- Index: collector_seen's primary key.
SELECT path, size, modified, version, since, state, hash, message, config_version, afterwards
FROM collector_seen WHERE collector = $1 AND path = ANY ($2)
