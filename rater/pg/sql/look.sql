-- Index: rater_checkpoint_pkey.
SELECT true
FROM rater_checkpoint
WHERE partition = $1 AND epoch = $2 AND owner = $3 AND next_offset IN ($4, $5)
