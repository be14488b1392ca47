-- Index: identity_filter_pkey.
INSERT INTO identity_filter (partition, first_day, last_day, keys, probes, bits)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, first_day) DO UPDATE SET
    last_day = excluded.last_day, keys = excluded.keys, probes = excluded.probes, bits = excluded.bits
