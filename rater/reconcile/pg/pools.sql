-- Index: rater_pool's primary key, the part of the partition.
SELECT pool, CASE scope WHEN 'account' THEN shared_by ELSE billed END, product, currency, amount, segments FROM rater_pool
WHERE partition = $1 AND usage_start < $3 AND usage_end > $2
ORDER BY pool
