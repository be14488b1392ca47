-- At most a row a partition.
SELECT source_partition, next_offset, last_offset FROM sink_position ORDER BY source_partition
