-- Index: rater_marker_pkey, one descent an account.
SELECT m.account, m.seq, m.attempt, m.at_offset, m.open, m.over, m.done_seq, m.parts, m.under_seq, m.sets
FROM rater_checkpoint c
LEFT JOIN rater_marker m ON m.partition = $1 AND m.account = ANY ($6::text[])
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
