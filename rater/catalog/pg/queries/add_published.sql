-- One row for each of $1 partitions. Index: catalog_published_pkey.
INSERT INTO catalog_published (partition) SELECT generate_series(0, $1::integer - 1) ON CONFLICT DO NOTHING
