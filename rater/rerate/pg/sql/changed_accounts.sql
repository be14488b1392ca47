-- The accounts that changed at $1, or whose contracts did, and all below them, at most $2. Indexes: definition_by_seq, account_by_parent.
WITH RECURSIVE below (id) AS (
    SELECT CASE kind WHEN 'contract' THEN parent ELSE id END FROM definition WHERE seq = $1 AND kind IN ('account', 'contract')
    UNION
    SELECT a.id FROM below JOIN account a ON a.parent = below.id AND a.parent <> ''
)
SELECT id FROM below LIMIT $2
