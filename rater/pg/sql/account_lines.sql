-- Index: line_by_account; an account's lines stand on one partition, or few.
SELECT l.family, l.position, l.line, l.invoice, l.account, l.billed, l.seller, l.product, l.package, l.group_values, l.currency,
       l.period_start, l.period_end, l.usage_start, l.usage_end, l.quantity::text, l.events, l.amount::text, l.segments, l.seq,
       l.rate_level, l.rate_account, l.rate_id, l.rate_model, l.version, l.owed, l.second
FROM line_now l
WHERE l.account = $1 AND l.partition = $2
ORDER BY l.family, l.position
