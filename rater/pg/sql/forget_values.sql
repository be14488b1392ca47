-- Indexes: rater_set_gone; rater_set_by_end, up to the instant, and seal_pkey, one descent a set; rater_value_pkey, one range a set and one
-- descent a value. The claim is looked at in the statement that deletes: what is of no use after a commit may be of use before it.
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
), part AS (
    SELECT u.set, v.value
    FROM useless u
    CROSS JOIN LATERAL (SELECT value FROM rater_value WHERE partition = $1 AND set = u.set LIMIT $6) v
    LIMIT $6
)
DELETE FROM rater_value v
USING part
WHERE v.partition = $1 AND v.set = part.set AND v.value = part.value
