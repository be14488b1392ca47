-- What a killed process has left. Index: collector_run's primary key.
UPDATE collector_run SET state = 'interrupted', ended_at = $2, message = $3 WHERE id = $1 AND state = 'running'
