-- What the definitions ($1, $2) name. Index: definition_use_pkey.
DELETE FROM definition_use u
USING unnest($1::text[], $2::text[]) AS gone (kind, id)
WHERE u.kind = gone.kind AND u.id = gone.id
