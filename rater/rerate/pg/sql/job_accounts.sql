-- The accounts of the job $1 behind $2, at most $3. Index: rerate_account_by_seq, or rerate_account_pkey.
SELECT account, seq, partition, product, from_at, until_at, closed, state, message, lines, changed
FROM rerate_account
WHERE seq = $1 AND account > $2
ORDER BY account
LIMIT $3
