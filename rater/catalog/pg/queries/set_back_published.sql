-- The partition $1 lacks what follows $2. Index: catalog_published_pkey.
UPDATE catalog_published SET seq = $2 WHERE partition = $1 AND seq > $2
