-- The open accounts of jobs that have looked at all lines, of each the first, behind $2. Index: rerate_account_open.
SELECT DISTINCT ON (a.account) a.account, a.seq, a.partition, a.product, a.from_at, a.until_at, a.closed, a.state, a.message, a.lines, a.changed
FROM rerate_account a
JOIN rerate_job j ON j.seq = a.seq AND j.pass > 0
WHERE a.state = 'open' AND a.account > $2
ORDER BY a.account, a.seq
LIMIT $1
