-- Makes $1 more lines of each, on invoices of their own. Reads the whole table.
INSERT INTO line (
    partition, family, position, line, invoice, account, billed, seller, product, package, group_values, currency,
    period_start, period_end, usage_start, usage_end, quantity, events, amount, segments, seq, rate_level,
    rate_account, rate_id, rate_model, version)
SELECT
    l.partition, gen_random_uuid(), l.position, gen_random_uuid(), gen_random_uuid(), l.account || '-' || n, l.billed || '-' || n, l.seller,
    l.product, l.package, l.group_values, l.currency, l.period_start, l.period_end, l.usage_start, l.usage_end, l.quantity, l.events,
    l.amount, l.segments, l.seq, l.rate_level, l.rate_account, l.rate_id, l.rate_model, l.version
FROM line l
CROSS JOIN generate_series(1, $1) AS n
