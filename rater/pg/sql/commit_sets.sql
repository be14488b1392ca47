-- Index: rater_set_pkey. The arrays are sorted by its columns behind the partition.
INSERT INTO rater_set (partition, set, owed, usage_end, gone)
SELECT $1::integer, set, owed, usage_end, gone
FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::boolean[]) AS u (set, owed, usage_end, gone)
ON CONFLICT (partition, set) DO UPDATE SET
    owed = excluded.owed, usage_end = excluded.usage_end, gone = rater_set.gone OR excluded.gone
