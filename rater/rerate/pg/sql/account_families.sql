-- families.sql for some accounts. Index: line_by_account.
SELECT l.partition, l.family, l.account, l.product, l.package, l.usage_start, l.usage_end, l.seq, s.points
FROM line_now l
LEFT JOIN seal s ON s.partition = l.partition AND s.account = l.owed
WHERE l.account = ANY ($3::text[]) AND (l.partition, l.family) > ($1, $2::uuid) AND l.position = 0 AND l.rate_level <> 'correction'
ORDER BY l.partition, l.family
LIMIT $4
