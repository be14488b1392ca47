-- Index: rater_level_pkey. The arrays are sorted by its columns behind the partition.
INSERT INTO rater_level (partition, owed, usage_end, family)
SELECT $1::integer, owed, usage_end, family
FROM unnest($2::text[], $3::bigint[], $4::uuid[]) AS u (owed, usage_end, family)
ON CONFLICT DO NOTHING
