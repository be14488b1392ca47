-- Held until the transaction ends, so that nobody takes the lease meanwhile. Index: collector_state's primary key.
SELECT 1 FROM collector_state WHERE name = $1 AND token = $2 FOR SHARE
