-- A sink that slept through its lease must not move its successor back. Index: the primary key.
INSERT INTO sink_position AS p (source_partition, next_offset, last_offset)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[])
ON CONFLICT (source_partition) DO UPDATE
SET next_offset = excluded.next_offset, last_offset = excluded.last_offset
WHERE p.next_offset < excluded.next_offset
