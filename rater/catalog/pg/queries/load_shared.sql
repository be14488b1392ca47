-- The newest row of each shared definition at seq ≤ $1. Index: definition_pkey.
SELECT DISTINCT ON (kind, id) kind, id, seq, deleted, body
FROM definition
WHERE kind IN ('settings', 'product', 'rate_class', 'package', 'exchange_rates') AND seq <= $1
ORDER BY kind, id, seq DESC
