-- Of each pool that waits because of definition -$1 a line with a share of it, whose segments hold its id: of who is billed, else of whoever is
-- billed for late usage of the period. Indexes: rater_pool_unsettled; line_by_billed, else line_pkey, the part of the partition.
SELECT q.partition, l.family
FROM rater_pool q
CROSS JOIN LATERAL (
    SELECT own.family FROM line_now own
    WHERE own.billed = q.billed AND own.period_end >= q.usage_end AND own.partition = q.partition AND own.usage_start = q.usage_start
      AND position(uuid_send(q.pool) IN own.segments) > 0
    UNION ALL
    SELECT late.family FROM line_now late
    WHERE late.partition = q.partition AND late.owed = q.billed AND late.usage_start = q.usage_start
      AND position(uuid_send(q.pool) IN late.segments) > 0
    LIMIT 1
) l
WHERE q.seq = $1 AND q.seq < 0
LIMIT $2
