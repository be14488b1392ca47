-- Index: rater_pool_by_pool.
SELECT pool, scope, shared_by, seller, billed, product, currency, usage_start, usage_end, amount::text, segments, seq, version
FROM rater_pool
WHERE pool = ANY ($1::uuid[])
ORDER BY pool, partition
