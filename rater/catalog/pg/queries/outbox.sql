-- The links of the chain after $1, in order, at most $2. Index: catalog_outbox_pkey.
SELECT seq, hash, rows_count FROM catalog_outbox WHERE seq > $1 ORDER BY seq LIMIT $2
