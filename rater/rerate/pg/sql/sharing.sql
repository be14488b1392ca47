-- A family of each other account that has used the product of the family ($1, $2) in its period, of usage that is the same account's to pay. Indexes:
-- line_pkey; line_by_billed and, for late usage that others are billed for, line_by_owed.
SELECT DISTINCT ON (l.account) l.partition, l.family, l.account, l.product, l.package, l.usage_start, l.usage_end, l.seq, s.points
FROM line_now own
JOIN line_now l ON l.partition = own.partition AND l.owed = own.owed AND l.product = own.product AND l.usage_start = own.usage_start
    AND (l.billed = own.owed AND l.period_end > own.usage_start OR l.billed <> l.owed)
LEFT JOIN seal s ON s.partition = l.partition AND s.account = l.owed
WHERE own.partition = $1 AND own.family = $2 AND own.position = 0 AND l.rate_level <> 'correction' AND l.account <> own.account
ORDER BY l.account, l.family
LIMIT $3
