-- One row.
DELETE FROM sink_lease WHERE owner = $1
