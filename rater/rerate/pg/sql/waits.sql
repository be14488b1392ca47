-- What the open job $1, which is in phase $2, waits for: an earlier job that has not looked at all lines yet, or partitions, at most 8, that have
-- not committed the definitions, what was swept, or what was written for its accounts. Indexes: rerate_job_open, rerate_sweep_pkey,
-- rerate_account_by_seq; a row a partition of rater_checkpoint.
WITH first AS (SELECT coalesce(min(seq), 0) AS seq FROM rerate_job WHERE phase <> 'done' AND pass = 0 AND seq < $1),
waits AS (
    SELECT c.partition FROM rater_checkpoint c, first
    WHERE $2 = 'looking' AND c.activated_seq < CASE first.seq WHEN 0 THEN $1 ELSE first.seq END
    UNION
    SELECT s.partition FROM rerate_sweep s JOIN rater_checkpoint c USING (partition)
    WHERE $2 = 'waiting' AND s.seq = $1 AND c.next_offset < s.end_offset
    UNION
    SELECT a.partition FROM rerate_account a WHERE $2 = 'accounts' AND a.seq = $1 AND a.state = 'open'
)
SELECT first.seq, ARRAY(SELECT partition FROM waits ORDER BY partition LIMIT 8)::integer[] FROM first
