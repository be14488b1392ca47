-- Index: rater_count_pkey.
INSERT INTO rater_count (partition, month, currency, accepted, retried, rated, duplicates, rejected, charged)
SELECT partition, month, currency, accepted, retried, rated, duplicates, rejected, charged::numeric
FROM unnest(
    $1::integer[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::text[]
) AS u (partition, month, currency, accepted, retried, rated, duplicates, rejected, charged)
ON CONFLICT (partition, month, currency) DO UPDATE SET
    accepted = excluded.accepted, retried = excluded.retried, rated = excluded.rated, duplicates = excluded.duplicates,
    rejected = excluded.rejected, charged = excluded.charged
