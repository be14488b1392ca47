-- In the file's order. Index: collector_error's primary key.
SELECT line, id, code, message, raw FROM collector_error WHERE run = $1 AND line > $2 ORDER BY line LIMIT $3
