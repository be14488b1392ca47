-- The newest rows of the definitions ($1, $2), deleted ones too. Index: definition_pkey.
SELECT want.kind, want.id, d.seq, d.deleted, d.body
FROM unnest($1::text[], $2::text[]) AS want (kind, id)
CROSS JOIN LATERAL (
    SELECT seq, deleted, body FROM definition
    WHERE kind = want.kind AND id = want.id ORDER BY seq DESC LIMIT 1
) d
