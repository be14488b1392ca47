-- The newest rows of the accounts $1 and of all their parents, deleted ones too.
-- Indexes: account_pkey, definition_pkey.
WITH RECURSIVE chain (id, parent) AS (
    SELECT a.id, a.parent FROM unnest($1::text[]) AS want (id) JOIN account a ON a.id = want.id
    UNION
    SELECT a.id, a.parent FROM chain c JOIN account a ON a.id = c.parent
)
SELECT 'account', chain.id, d.seq, d.deleted, d.body
FROM chain
CROSS JOIN LATERAL (
    SELECT seq, deleted, body FROM definition
    WHERE kind = 'account' AND id = chain.id ORDER BY seq DESC LIMIT 1
) d
