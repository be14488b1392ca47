-- What a dead process has left. Index: collector_pass_by_collector.
UPDATE collector_pass SET state = 'interrupted', ended_at = $2, message = 'its process ended; another went on' WHERE collector = $1 AND state = 'running'
