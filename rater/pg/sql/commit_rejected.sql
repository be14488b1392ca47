-- Index: rejected_usage_pkey. A conflict needs a log that was lost and rated anew; the newer row stands.
INSERT INTO rejected_usage (
    partition, usage_offset, event_index, log_time, reason, retry, account, product, source, event_id, event_time,
    event, raw)
SELECT *
FROM unnest(
    $1::integer[], $2::bigint[], $3::integer[], $4::bigint[], $5::text[], $6::boolean[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::bigint[], $12::bytea[], $13::bytea[])
ON CONFLICT (partition, usage_offset, event_index) DO UPDATE SET
    log_time = excluded.log_time, reason = excluded.reason, retry = excluded.retry, account = excluded.account,
    product = excluded.product, source = excluded.source, event_id = excluded.event_id,
    event_time = excluded.event_time, event = excluded.event, raw = excluded.raw,
    state = 'open', state_at = NULL
