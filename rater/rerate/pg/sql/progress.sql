-- Indexes: rerate_job_pkey, rerate_account_by_seq.
SELECT j.seq, j.demand, j.account, j.product, j.from_at, j.until_at, j.phase, j.swept, j.message, j.created_at, j.done_at,
       count(a.account), count(a.account) FILTER (WHERE a.state <> 'open'), count(a.account) FILTER (WHERE a.state = 'failed'),
       coalesce(sum(a.lines), 0)::bigint, coalesce(sum(a.changed), 0)::bigint,
       coalesce(string_agg(a.account || ': ' || a.message, '; ' ORDER BY a.account) FILTER (WHERE a.message <> ''), '')
FROM rerate_job j
LEFT JOIN rerate_account a ON a.seq = j.seq
WHERE j.seq = $1
GROUP BY j.seq
