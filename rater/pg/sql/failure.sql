-- Index: rater_failure_pkey.
INSERT INTO rater_failure (partition, usage_offset, event_index, failures, message, failed_at)
VALUES ($1, $2, $3, 1, $4, clock_timestamp())
ON CONFLICT (partition, usage_offset) DO UPDATE SET
    event_index = excluded.event_index, failures = rater_failure.failures + 1, message = excluded.message, failed_at = excluded.failed_at
RETURNING failures
