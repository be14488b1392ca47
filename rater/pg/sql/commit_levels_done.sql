-- Index: rater_level_pkey, one descent a family.
DELETE FROM rater_level l
USING unnest($2::text[], $3::bigint[], $4::uuid[]) AS u (owed, usage_end, family)
WHERE l.partition = $1 AND l.owed = u.owed AND l.usage_end = u.usage_end AND l.family = u.family
