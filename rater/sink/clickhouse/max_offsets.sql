-- Reads two narrow columns of the months that have rows above the sink's position; duplicates do not matter to a maximum.
SELECT source_partition, month, max(usage_offset) FROM rated_activity
WHERE %s GROUP BY source_partition, month
