-- Index: rater_checkpoint_pkey.
SELECT count(*), coalesce(min(log_time), 0)
FROM rater_checkpoint
WHERE partition = ANY ($1::integer[])
