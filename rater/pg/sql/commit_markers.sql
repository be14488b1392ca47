-- Index: rater_marker_pkey.
INSERT INTO rater_marker (partition, account, seq, attempt, at_offset, open, over, done_seq, parts, under_seq, sets)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9::bytea[], '{}'), $10, $11)
ON CONFLICT (partition, account) DO UPDATE SET
    seq = excluded.seq, attempt = excluded.attempt, at_offset = excluded.at_offset, open = excluded.open, over = excluded.over,
    done_seq = excluded.done_seq, parts = excluded.parts, under_seq = excluded.under_seq, sets = excluded.sets
