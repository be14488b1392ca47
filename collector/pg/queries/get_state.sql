-- Index: collector_state's primary key.
SELECT paused, wanted, next_due, owner <> '' AND lease_until > clock_timestamp() FROM collector_state WHERE name = $1
