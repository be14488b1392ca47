-- Index: identity_day_pkey for the compacted days, then identity_chunk_pkey, backwards, one descent for
-- each identity and day: the chunk that would hold it, sent when it does. Most questions are of identities that no day
-- has, and 35 chunks are 67 kB.
SELECT k.id, k.entries
FROM rater_checkpoint c
LEFT JOIN LATERAL (
    SELECT i.id, h.entries
    FROM unnest($6::uuid[]) AS i (id)
    CROSS JOIN identity_day d
    CROSS JOIN LATERAL (
        SELECT x.entries
        FROM identity_chunk x
        WHERE x.partition = d.partition AND x.day = d.day AND x.attempt = d.attempt AND x.first_id <= i.id
        ORDER BY x.first_id DESC
        LIMIT 1
    ) h
    WHERE d.partition = $1 AND position(uuid_send(i.id) IN h.entries) > 0
) k ON true
WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset IN ($4, $5)
