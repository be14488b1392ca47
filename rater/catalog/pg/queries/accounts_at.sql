-- The accounts $2 and all their parents with their contracts, as of seq $1, deleted ones too.
-- Indexes: definition_pkey, definition_contracts.
WITH RECURSIVE chain (id, seq, deleted, parent, body) AS (
    SELECT d.id, d.seq, d.deleted, d.parent, d.body
    FROM unnest($2::text[]) AS want (id)
    CROSS JOIN LATERAL (
        SELECT * FROM definition
        WHERE kind = 'account' AND id = want.id AND seq <= $1 ORDER BY seq DESC LIMIT 1
    ) d
    UNION
    SELECT d.id, d.seq, d.deleted, d.parent, d.body
    FROM chain
    CROSS JOIN LATERAL (
        SELECT * FROM definition
        WHERE kind = 'account' AND id = chain.parent AND seq <= $1 ORDER BY seq DESC LIMIT 1
    ) d
)
SELECT 'account', id, seq, deleted, parent, body FROM chain
UNION ALL
SELECT 'contract', c.id, c.seq, c.deleted, c.parent, c.body
FROM (SELECT DISTINCT id FROM chain) owner
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (d.id) d.id, d.seq, d.deleted, d.parent, d.body
    FROM definition d
    WHERE d.kind = 'contract' AND d.parent = owner.id AND d.seq <= $1
    ORDER BY d.id, d.seq DESC
) c
