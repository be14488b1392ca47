-- Index: rater_marker_open.
SELECT account, seq, attempt, at_offset, open, over, done_seq, parts, under_seq, sets
FROM rater_marker
WHERE partition = $1 AND open
