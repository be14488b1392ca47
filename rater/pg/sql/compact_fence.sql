-- Index: rater_checkpoint_pkey. The row stays as it is until the transaction ends: its own owner's commits wait
-- for a moment, another's claim does too.
SELECT true
FROM rater_checkpoint
WHERE partition = $1 AND epoch = $2 AND owner = $3 AND next_offset >= $4
FOR SHARE
