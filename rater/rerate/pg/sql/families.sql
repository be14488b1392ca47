-- A page of families behind the place ($1, $2), of some products ($3, null: all). Index: line_pkey in its order.
SELECT l.partition, l.family, l.account, l.product, l.package, l.usage_start, l.usage_end, l.seq, s.points
FROM line_now l
LEFT JOIN seal s ON s.partition = l.partition AND s.account = l.owed
WHERE (l.partition, l.family) > ($1, $2::uuid) AND l.position = 0 AND l.rate_level <> 'correction' AND ($3::text[] IS NULL OR l.product = ANY ($3))
ORDER BY l.partition, l.family
LIMIT $4
