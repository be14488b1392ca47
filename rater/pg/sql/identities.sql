-- Index: identity_day_pkey for the compacted days, then identity_chunk_pkey, backwards, one descent for
-- each identity and day that a filter names: the chunk that would hold it, sent when it does, since most questions are of
-- identities that no day has. A folding does not move the checkpoint's row, so that a failover may lose it alone: a day from $9
-- to $10 that has segments and is not compacted ($9, $10: all that is asked for; identity_segment_pkey) is as good as another's row.
SELECT k.id, k.entries
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT i.id, h.entries
    FROM unnest($6::uuid[], $7::integer[], $8::integer[]) AS i (id, first_day, last_day)
    JOIN identity_day d ON d.partition = $1 AND d.day BETWEEN i.first_day AND i.last_day
    CROSS JOIN LATERAL (
        SELECT x.entries
        FROM identity_chunk x
        WHERE x.partition = d.partition AND x.day = d.day AND x.attempt = d.attempt AND x.first_id <= i.id
        ORDER BY x.first_id DESC
        LIMIT 1
    ) h
    WHERE position(uuid_send(i.id) IN h.entries) > 0
) k ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
  AND NOT EXISTS (
    SELECT
    FROM identity_segment g
    WHERE g.partition = $1 AND g.day BETWEEN $9 AND $10
      AND NOT EXISTS (SELECT FROM identity_day d WHERE d.partition = g.partition AND d.day = g.day)
  )
