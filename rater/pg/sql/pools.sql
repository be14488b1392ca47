-- Index: rater_pool_pkey, one descent a pool.
SELECT q.pool, q.scope, q.shared_by, q.seller, q.billed, q.product, q.currency, q.usage_start, q.usage_end, q.amount::text, q.segments, q.seq,
       q.version
FROM rater_checkpoint c
LEFT JOIN rater_pool q ON q.partition = $1 AND q.pool = ANY ($6::uuid[])
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
