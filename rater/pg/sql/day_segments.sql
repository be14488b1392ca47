-- Index: identity_segment_pkey.
SELECT s.entries
FROM rater_checkpoint c
LEFT JOIN identity_segment s ON s.partition = $1 AND s.day = $5
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset >= $4
