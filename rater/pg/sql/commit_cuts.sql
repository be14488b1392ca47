-- Index: line_cut_pkey.
INSERT INTO line_cut (partition, cut, lines)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::integer[])
