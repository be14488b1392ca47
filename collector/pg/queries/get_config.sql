-- One version, or with $2 = 0 the newest. Index: collector_config's primary key.
SELECT name, version, document, created_at FROM collector_config
WHERE name = $1 AND ($2 = 0 OR version = $2) ORDER BY version DESC LIMIT 1
