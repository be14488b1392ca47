-- Index: identity_segment_pkey, its first row that is not of a compacted day. Days before $6 no longer
-- count. Commits go on meanwhile, so the row may stand further than the claim, but never before it.
SELECT s.day
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT g.day
    FROM identity_segment g
    WHERE g.partition = $1 AND g.day >= $6 AND g.day < $5
      AND NOT EXISTS (SELECT FROM identity_day d WHERE d.partition = g.partition AND d.day = g.day)
    ORDER BY g.day
    LIMIT 1
) s ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset >= $4
