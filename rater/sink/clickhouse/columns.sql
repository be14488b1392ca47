-- A table's few columns.
SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'rated_activity'
