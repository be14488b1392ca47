-- Index: identity_segment_pkey.
INSERT INTO identity_segment (partition, day, next_offset, entries)
VALUES ($1, $2, $3, $4)
