-- A configuration that came meanwhile has decided when. Index: collector_state's primary key.
UPDATE collector_state SET owner = '', lease_until = '-infinity', next_due = CASE WHEN version <= $3 THEN $4 ELSE next_due END
WHERE name = $1 AND token = $2
