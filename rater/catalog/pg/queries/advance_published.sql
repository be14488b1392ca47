-- The partitions $1 have acknowledged $2 to $3. Only from where each stood: a partition that was
-- set back meanwhile stays there and is sent everything again. Index: catalog_published_pkey.
UPDATE catalog_published SET seq = $3 WHERE partition = ANY ($1::integer[]) AND seq = $2::bigint - 1
