-- Index: line_pkey. The arrays are sorted by its columns, so that rows are locked in one order.
INSERT INTO line (
    partition, family, position, line, invoice, account, billed, seller, product, package, group_values, currency,
    period_start, period_end, usage_start, usage_end, quantity, events, amount, segments, seq, rate_level,
    rate_account, rate_id, rate_model, version, owed, second, cut)
SELECT
    partition, family, position, line, invoice, account, billed, seller, product, package, group_values, currency,
    period_start, period_end, usage_start, usage_end, quantity::numeric, events, amount::numeric, segments, seq,
    rate_level, rate_account, rate_id, rate_model, version, owed, second, cut
FROM unnest(
    $1::integer[], $2::uuid[], $3::integer[], $4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[],
    $18::bigint[], $19::text[], $20::bytea[], $21::bigint[], $22::text[], $23::text[], $24::text[], $25::text[],
    $26::bigint[], $27::text[], $28::bytea[], $29::bigint[]
) AS u (
    partition, family, position, line, invoice, account, billed, seller, product, package, group_values, currency,
    period_start, period_end, usage_start, usage_end, quantity, events, amount, segments, seq, rate_level,
    rate_account, rate_id, rate_model, version, owed, second, cut)
ON CONFLICT (partition, family, position) DO UPDATE SET
    line = excluded.line, invoice = excluded.invoice, account = excluded.account, billed = excluded.billed,
    seller = excluded.seller, product = excluded.product, package = excluded.package,
    group_values = excluded.group_values, currency = excluded.currency, period_start = excluded.period_start,
    period_end = excluded.period_end, usage_start = excluded.usage_start, usage_end = excluded.usage_end,
    quantity = excluded.quantity, events = excluded.events, amount = excluded.amount, segments = excluded.segments,
    seq = excluded.seq, rate_level = excluded.rate_level, rate_account = excluded.rate_account,
    rate_id = excluded.rate_id, rate_model = excluded.rate_model, version = excluded.version,
    owed = excluded.owed, second = excluded.second, cut = excluded.cut
