-- Index: line_pkey, one descent a family: ORDER BY keeps the planner from reading the partition instead, which it would while it
-- believes that the table is small.
SELECT l.family, l.position, l.line, l.invoice, l.account, l.billed, l.seller, l.product, l.package, l.group_values, l.currency,
       l.period_start, l.period_end, l.usage_start, l.usage_end, l.quantity::text, l.events, l.amount::text, l.segments, l.seq,
       l.rate_level, l.rate_account, l.rate_id, l.rate_model, l.version, l.owed, l.second
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT k.*
    FROM unnest($6::uuid[]) AS i (family)
    CROSS JOIN LATERAL (SELECT * FROM line_now WHERE partition = $1 AND family = i.family ORDER BY position) k
) l ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
ORDER BY l.family, l.position
