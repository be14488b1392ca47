-- Index: rater_value_pkey, one descent a value.
SELECT v.set, v.value, v.places
FROM rater_checkpoint c
LEFT JOIN (
    SELECT v.set, v.value, v.places
    FROM unnest($6::uuid[], $7::uuid[]) AS u (set, value)
    JOIN rater_value v ON v.partition = $1 AND v.set = u.set AND v.value = u.value
) v ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
