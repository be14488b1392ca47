-- The whole table: a row a partition.
SELECT partition, epoch, owner, next_offset, last_offset, log_time, activated_seq, committed_at
FROM rater_checkpoint
ORDER BY partition
