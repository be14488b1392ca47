-- Only the file's own run moves it, and never backwards. Index: collector_file's primary key.
UPDATE collector_file SET next_offset = $4, next_line = $5, done = $6, updated_at = $7
WHERE collector = $1 AND hash = $2 AND run = $3 AND next_offset <= $4
