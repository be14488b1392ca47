-- Index: rater_pool_pkey. The arrays are sorted by its columns.
INSERT INTO rater_pool (
    partition, pool, scope, shared_by, seller, billed, product, currency, usage_start, usage_end, amount, segments, seq, version)
SELECT partition, pool, scope, shared_by, seller, billed, product, currency, usage_start, usage_end, amount::numeric, segments, seq, version
FROM unnest(
    $1::integer[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
    $11::text[], $12::bytea[], $13::bigint[], $14::bigint[]
) AS u (partition, pool, scope, shared_by, seller, billed, product, currency, usage_start, usage_end, amount, segments, seq, version)
ON CONFLICT (partition, pool) DO UPDATE SET
    amount = excluded.amount, segments = excluded.segments, seq = excluded.seq, version = excluded.version
