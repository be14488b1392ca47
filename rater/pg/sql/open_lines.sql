-- Index: line_pkey in its order, from the cursor on; lines of older invoices are read and passed over. The last
-- family of the page is completed: ties of its id count in.
SELECT l.family, l.position, l.line, l.invoice, l.account, l.billed, l.seller, l.product, l.package, l.group_values, l.currency,
       l.period_start, l.period_end, l.usage_start, l.usage_end, l.quantity::text, l.events, l.amount::text, l.segments, l.seq,
       l.rate_level, l.rate_account, l.rate_id, l.rate_model, l.version, l.owed, l.second
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT *
    FROM line_now
    WHERE partition = $1 AND family >= $7 AND period_end > $6
    ORDER BY family
    FETCH FIRST $8 ROWS WITH TIES
) l ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
ORDER BY l.family, l.position
