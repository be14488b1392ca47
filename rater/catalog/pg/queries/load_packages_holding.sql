-- The packages that hold the product $1, but those of $2. Index: definition_use_by_used.
SELECT id FROM definition_use WHERE used_kind = 'product' AND used_id = $1 AND kind = 'package' AND id <> ALL ($2::text[])
