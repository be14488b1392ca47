-- A new version, unless the newest says the same. Index: collector_config's primary key. Two writers
-- at once meet at the primary key, and the later one tries again.
WITH newest AS (
    SELECT version, document FROM collector_config WHERE name = $1 ORDER BY version DESC LIMIT 1
)
INSERT INTO collector_config (name, version, document, created_at)
SELECT $1, coalesce((SELECT version FROM newest), 0) + 1, $2, $3
WHERE NOT EXISTS (SELECT 1 FROM newest WHERE document = $2)
RETURNING version
