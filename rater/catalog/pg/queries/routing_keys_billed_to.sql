-- The routing keys of the account $1 and of all accounts below it that are or were billed to it.
-- Indexes: account_pkey, account_by_parent.
WITH RECURSIVE below (id, routing_key) AS (
    SELECT id, routing_key FROM account WHERE id = $1
    UNION
    SELECT a.id, a.routing_key FROM below JOIN account a ON a.parent = below.id AND a.parent <> '' AND a.parent_pays
)
SELECT DISTINCT routing_key FROM below ORDER BY routing_key
