-- The families with shares of the pool $6, whose id stands in their segments. Index: line_pkey, the part of the partition; it is asked only when
-- usage that is rated anew takes the largest quantity of all out of a pool.
SELECT l.family
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT DISTINCT family
    FROM line_now
    WHERE partition = $1 AND owed = $7 AND usage_start = $8 AND position($6::bytea IN segments) > 0
) l ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
