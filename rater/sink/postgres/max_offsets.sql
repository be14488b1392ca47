-- Index: the primary key, from the sink's position on.
SELECT r.source_partition, r.month, max(r.usage_offset)
FROM unnest($1::integer[], $2::bigint[]) AS above (partition, last)
JOIN rated_activity r ON r.source_partition = above.partition AND r.usage_offset > above.last
GROUP BY r.source_partition, r.month
