-- The newest rows of the contracts $1 and of all contracts of the accounts $2.
-- Indexes: definition_pkey, definition_contracts.
WITH wanted AS (
    SELECT id FROM unnest($1::text[]) AS named (id)
    UNION
    SELECT d.id FROM unnest($2::text[]) AS owner (id) JOIN definition d ON d.kind = 'contract' AND d.parent = owner.id
)
SELECT 'contract', wanted.id, d.seq, d.deleted, d.body
FROM wanted
CROSS JOIN LATERAL (
    SELECT seq, deleted, body FROM definition
    WHERE kind = 'contract' AND id = wanted.id ORDER BY seq DESC LIMIT 1
) d
