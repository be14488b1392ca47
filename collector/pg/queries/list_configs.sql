-- The newest version of each name behind $1. Index: collector_config's primary key.
SELECT DISTINCT ON (name) name, version, document, created_at FROM collector_config
WHERE name > $1 ORDER BY name, version DESC LIMIT $2
