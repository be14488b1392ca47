-- Index: rejected_usage_pkey.
UPDATE rejected_usage r
SET state = $4, state_at = clock_timestamp()
FROM unnest($1::integer[], $2::bigint[], $3::integer[]) AS u (partition, usage_offset, event_index)
WHERE r.partition = u.partition AND r.usage_offset = u.usage_offset AND r.event_index = u.event_index AND r.state = 'open'
