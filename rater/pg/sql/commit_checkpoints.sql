-- Index: rater_checkpoint_pkey. The fence: a row that is no longer the writer's, or not where it left it, is
-- not touched and does not come back.
UPDATE rater_checkpoint c
SET next_offset = u.next_offset, last_offset = u.last_offset, leader_epoch = u.leader_epoch, rated_next = u.rated_next,
    log_time = u.log_time, activated_seq = u.activated_seq, activated_sum = u.activated_sum, committed_at = clock_timestamp()
FROM unnest($1::integer[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::integer[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[])
    AS u (partition, epoch, owner, previous, next_offset, last_offset, leader_epoch, rated_next, log_time, activated_seq, activated_sum)
WHERE c.partition = u.partition AND c.epoch = u.epoch AND c.owner = u.owner AND c.next_offset = u.previous
RETURNING c.partition
