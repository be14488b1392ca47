-- Index: rater_checkpoint_pkey.
INSERT INTO rater_checkpoint (partition, epoch, owner)
VALUES ($1, 1, $2)
ON CONFLICT (partition) DO UPDATE SET epoch = rater_checkpoint.epoch + 1, owner = excluded.owner
RETURNING epoch, next_offset, last_offset, leader_epoch, rated_next, log_time, activated_seq, activated_sum
