-- Index: rater_level_pkey, in its order from the account on.
SELECT l.usage_end, l.family
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT usage_end, family
    FROM rater_level
    WHERE partition = $1 AND owed = $6 AND usage_end <= $7
    ORDER BY usage_end, family
    LIMIT $8
) l ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
ORDER BY l.usage_end, l.family
