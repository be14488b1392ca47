-- no index: a handful of rows, read when a process starts
SELECT EXISTS (SELECT 1 FROM api_key WHERE revoked_at IS NULL)
