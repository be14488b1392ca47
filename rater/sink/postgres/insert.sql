-- Keys that are there already keep their row, which is the same. Index: the primary key.
INSERT INTO rated_activity SELECT * FROM pg_temp.rated_activity_stage
ORDER BY source_partition, usage_offset, activity_index
ON CONFLICT (source_partition, usage_offset, activity_index) DO NOTHING
