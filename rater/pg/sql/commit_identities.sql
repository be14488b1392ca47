-- Index: identity_segment_pkey.
INSERT INTO identity_segment (partition, day, next_offset, entries)
SELECT *
FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bytea[])
