-- The definitions that share tiers between accounts: the account whose they are with its parents up to the root, or none.
-- Indexes: definition_use_by_used, definition_pkey, account_pkey.
WITH RECURSIVE pooled (kind, id, account) AS (
    SELECT u.kind, u.id, CASE u.kind WHEN 'account' THEN u.id WHEN 'contract' THEN (
        SELECT d.parent FROM definition d WHERE d.kind = u.kind AND d.id = u.id ORDER BY d.seq DESC LIMIT 1) END
    FROM definition_use u
    WHERE u.used_kind = 'pool'
), path (kind, id, depth, account, parent) AS (
    SELECT p.kind, p.id, 0, a.id, a.parent FROM pooled p JOIN account a ON a.id = p.account
    UNION ALL
    SELECT p.kind, p.id, p.depth + 1, a.id, a.parent FROM path p JOIN account a ON a.id = p.parent
)
SELECT p.kind, p.id, COALESCE((SELECT array_agg(h.account ORDER BY h.depth) FROM path h WHERE h.kind = p.kind AND h.id = p.id), '{}')
FROM pooled p
ORDER BY p.kind, p.id
