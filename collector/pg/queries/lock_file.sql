-- Index: collector_file's primary key.
SELECT run, next_offset, next_line, done FROM collector_file WHERE collector = $1 AND hash = $2 FOR UPDATE
