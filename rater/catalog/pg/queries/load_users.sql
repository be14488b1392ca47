-- Which definitions name the definitions ($1, $2). Index: definition_use_by_used.
SELECT u.used_kind, u.used_id, u.kind, u.id
FROM unnest($1::text[], $2::text[]) AS want (kind, id)
JOIN definition_use u ON u.used_kind = want.kind AND u.used_id = want.id
