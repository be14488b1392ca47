-- Index: seal_pkey.
INSERT INTO seal (partition, account, sealed_through, points)
SELECT *
FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bytea[])
ON CONFLICT (partition, account) DO UPDATE SET
    sealed_through = excluded.sealed_through, points = excluded.points
