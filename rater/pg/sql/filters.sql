-- Index: identity_filter_pkey, all rows of the partition: five or six.
SELECT first_day, last_day, keys, probes, bits
FROM identity_filter
WHERE partition = $1 AND last_day >= $2
ORDER BY first_day
