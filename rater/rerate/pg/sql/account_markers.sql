-- Index: rater_marker_pkey.
SELECT i.n, m.seq, m.attempt, m.at_offset, m.under_seq, m.done_seq, m.open, m.over
FROM unnest($1::integer[], $2::text[]) WITH ORDINALITY AS i (partition, account, n)
JOIN rater_marker m ON m.partition = i.partition AND m.account = i.account
