-- The accounts that their parents pay, now or at another time, though usage of the two is routed apart; each with its parents up to the
-- root. It reads all accounts, once a document that shares tiers between accounts; only a few are enough for a refusal. Index: account_pkey.
WITH RECURSIVE crossing AS (
    SELECT a.id, a.routing_key, a.parent, p.routing_key AS parent_key
    FROM account a JOIN account p ON p.id = a.parent
    WHERE a.parent_pays AND NOT a.deleted AND a.routing_key <> p.routing_key
), path (id, depth, account, parent) AS (
    SELECT c.id, 0, c.id, c.parent FROM crossing c
    UNION ALL
    SELECT p.id, p.depth + 1, a.id, a.parent FROM path p JOIN account a ON a.id = p.parent
)
SELECT c.id, c.routing_key, c.parent, c.parent_key, (SELECT array_agg(h.account ORDER BY h.depth) FROM path h WHERE h.id = c.id)
FROM crossing c
ORDER BY c.id
