-- Index: line_by_billed, the periods that end after the instant.
SELECT l.family, l.position, l.line, l.invoice, l.account, l.billed, l.seller, l.product, l.package, l.group_values, l.currency,
       l.period_start, l.period_end, l.usage_start, l.usage_end, l.quantity::text, l.events, l.amount::text, l.segments, l.seq,
       l.rate_level, l.rate_account, l.rate_id, l.rate_model, l.version, l.owed, l.second
FROM line_now l
WHERE l.billed = $1 AND l.period_end > $2 AND l.period_start <= $2
ORDER BY l.invoice, l.partition, l.family, l.position
