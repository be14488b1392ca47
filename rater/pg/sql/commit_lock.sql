-- Index: rater_checkpoint_pkey. Locks the rows in the order of partitions, so that a zombie's commit and its
-- successor's never wait for each other.
SELECT c.partition
FROM rater_checkpoint c
JOIN unnest($1::integer[], $2::bigint[], $3::uuid[], $4::bigint[]) AS u (partition, epoch, owner, previous) USING (partition)
WHERE c.epoch = u.epoch AND c.owner = u.owner AND c.next_offset = u.previous
ORDER BY c.partition
FOR UPDATE OF c
