-- Indexes: those of forget_values.sql. What has no values any more goes as well.
WITH useless AS (
    SELECT s.set
    FROM rater_checkpoint c
    CROSS JOIN LATERAL (
        (SELECT set FROM rater_set WHERE partition = $1 AND gone LIMIT 100)
        UNION ALL
        (SELECT r.set
         FROM rater_set r
         JOIN seal e ON e.partition = $1 AND e.account = r.owed AND e.sealed_through >= r.usage_end
         WHERE r.partition = $1 AND r.usage_end < $5 AND NOT r.gone
         LIMIT 100)
    ) s
    WHERE c.partition = $1 AND c.epoch = $2 AND c.owner = $3 AND c.next_offset >= $4
)
DELETE FROM rater_set r
USING useless u
WHERE r.partition = $1 AND r.set = u.set
  AND NOT EXISTS (SELECT FROM rater_value v WHERE v.partition = $1 AND v.set = u.set)
