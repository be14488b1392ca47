-- Index: collector_seen's primary key.
DELETE FROM collector_seen WHERE collector = $1 AND path = ANY ($2)
