-- Index: rater_value_pkey, one descent a partition and value.
SELECT v.set, v.value, v.places
FROM unnest($1::uuid[], $2::uuid[]) AS u (set, value)
CROSS JOIN rater_checkpoint c
JOIN rater_value v ON v.partition = c.partition AND v.set = u.set AND v.value = u.value
