-- The job $1; where that is 0 the newest ones below $2 (0: all), with $3 only open ones, at most $4. Of what a job changed the first $5 definitions,
-- of what its accounts say the first $5. Indexes: rerate_job_pkey or rerate_job_open, catalog_outbox_pkey, definition_by_seq, rerate_account_by_seq.
WITH jobs AS (
    SELECT * FROM rerate_job
    WHERE ($1::bigint = 0 OR seq = $1) AND ($2::bigint = 0 OR seq < $2) AND (NOT $3::boolean OR phase <> 'done')
    ORDER BY seq DESC LIMIT $4
)
SELECT j.seq, j.demand, j.account, j.product, j.from_at, j.until_at, j.phase, j.swept, j.message, j.created_at, j.done_at,
       coalesce(o.author, ''), coalesce(o.rows_count, 0), d.kinds, d.ids, d.deleted,
       a.accounts, a.ended, a.failed, a.lines, a.changed, a.said, m.messages
FROM jobs j
LEFT JOIN catalog_outbox o ON o.seq = j.seq
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(kind), '{}') AS kinds, coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(x.deleted), '{}') AS deleted
    FROM (SELECT kind, id, deleted FROM definition WHERE seq = j.seq LIMIT $5) x
) d
CROSS JOIN LATERAL (
    SELECT count(*) AS accounts, count(*) FILTER (WHERE state <> 'open') AS ended, count(*) FILTER (WHERE state = 'failed') AS failed,
           coalesce(sum(lines), 0)::bigint AS lines, coalesce(sum(changed), 0)::bigint AS changed, count(*) FILTER (WHERE message <> '') AS said
    FROM rerate_account WHERE seq = j.seq
) a
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(x.account || ': ' || x.message ORDER BY x.account), '{}') AS messages
    FROM (SELECT account, message FROM rerate_account WHERE seq = j.seq AND message <> '' ORDER BY account LIMIT $5) x
) m
ORDER BY j.seq DESC
