-- The newest row of each shared definition with $1 < seq ≤ $2. Index: definition_by_seq.
SELECT DISTINCT ON (kind, id) kind, id, seq, deleted, body
FROM definition
WHERE kind IN ('settings', 'product', 'rate_class', 'package', 'exchange_rates') AND seq > $1 AND seq <= $2
ORDER BY kind, id, seq DESC
