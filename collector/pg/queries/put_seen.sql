-- Index: collector_seen's primary key.
INSERT INTO collector_seen (collector, path, size, modified, version, since, state, hash, message, config_version, afterwards)
SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::timestamptz[], $5::text[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::integer[], $11::boolean[])
ON CONFLICT (collector, path) DO UPDATE SET size = excluded.size, modified = excluded.modified, version = excluded.version, since = excluded.since,
    state = excluded.state, hash = excluded.hash, message = excluded.message, config_version = excluded.config_version, afterwards = excluded.afterwards
