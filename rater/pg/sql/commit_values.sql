-- Index: rater_value_pkey. The arrays are sorted by its columns behind the partition.
INSERT INTO rater_value (partition, set, value, places)
SELECT $1::integer, set, value, places
FROM unnest($2::uuid[], $3::uuid[], $4::bigint[]) AS u (set, value, places)
ON CONFLICT (partition, set, value) DO UPDATE SET places = excluded.places
