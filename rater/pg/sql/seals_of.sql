-- Index: seal_by_account.
SELECT partition, points
FROM seal
WHERE account = $1
