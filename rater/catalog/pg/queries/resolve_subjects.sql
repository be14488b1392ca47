-- The account that each subject ($1 at instant $2) names: its id, or an identifier as of then.
-- Rows in the order of the subjects. Indexes: account_pkey, identifier_pkey.
SELECT coalesce(a.id, named.id, ''), coalesce(a.routing_key, named.routing_key, ''),
       coalesce(named.start_at, -9223372036854775808), coalesce(named.end_at, 9223372036854775807)
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS want (value, at, position)
LEFT JOIN account a ON a.id = want.value AND NOT a.deleted
LEFT JOIN LATERAL (
    SELECT holder.id, holder.routing_key, i.start_at, i.end_at
    FROM (
        SELECT * FROM identifier
        WHERE value = want.value AND start_at <= want.at ORDER BY start_at DESC LIMIT 1
    ) i
    JOIN account holder ON holder.id = i.account AND NOT holder.deleted
    WHERE a.id IS NULL AND i.end_at > want.at
) named ON true
ORDER BY want.position
