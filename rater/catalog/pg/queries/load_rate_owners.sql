-- Which definitions have rates with the ids $1. Index: definition_use_by_used.
SELECT u.used_id, u.kind, u.id
FROM unnest($1::text[]) AS want (id) JOIN definition_use u ON u.used_kind = 'rate' AND u.used_id = want.id
