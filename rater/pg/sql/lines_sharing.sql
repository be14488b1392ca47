-- The lines of everybody's usage of a product in a period, of those whose invoice it is on and, billed to others since, of late usage. Indexes:
-- line_by_billed; line_by_owed, which has the latter alone.
SELECT l.family, l.position, l.line, l.invoice, l.account, l.billed, l.seller, l.product, l.package, l.group_values, l.currency,
       l.period_start, l.period_end, l.usage_start, l.usage_end, l.quantity::text, l.events, l.amount::text, l.segments, l.seq,
       l.rate_level, l.rate_account, l.rate_id, l.rate_model, l.version, l.owed, l.second
FROM line_now l
WHERE l.partition = $1 AND l.owed = $2 AND l.product = $3 AND l.usage_start = $4 AND (l.billed = $2 AND l.period_end > $4 OR l.billed <> l.owed)
ORDER BY l.family, l.position
LIMIT $5
