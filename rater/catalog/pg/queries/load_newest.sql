-- The newest row of every definition that is not deleted. Index: definition_pkey, in its order.
SELECT kind, id, seq, deleted, body FROM (
    SELECT DISTINCT ON (kind, id) kind, id, seq, deleted, body
    FROM definition ORDER BY kind, id, seq DESC
) newest
WHERE NOT deleted
