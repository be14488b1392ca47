-- The newest row of each definition of the shared kinds but exchange rates, and of the days $1 of those. Index: definition_pkey.
SELECT DISTINCT ON (kind, id) kind, id, seq, deleted, body
FROM definition
WHERE kind IN ('settings', 'product', 'rate_class', 'package')
   OR kind = 'exchange_rates' AND id = ANY ($1::text[])
ORDER BY kind, id, seq DESC
