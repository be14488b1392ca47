-- Index: seal_pkey, one descent an account.
SELECT s.account, s.points
FROM rater_checkpoint c
LEFT JOIN seal s ON s.partition = $1 AND s.account = ANY ($6::text[])
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
