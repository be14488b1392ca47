-- Index: rerate_account_pkey.
INSERT INTO rerate_account AS r (account, seq, partition, product, from_at, until_at, closed, state, message, lines, changed)
SELECT a, $2, p, d, f, u, c, 'open', '', 0, 0
FROM unnest($1::text[], $3::integer[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[]) AS x (a, p, d, f, u, c)
ON CONFLICT (account, seq) DO UPDATE SET
    from_at = least(r.from_at, excluded.from_at), until_at = greatest(r.until_at, excluded.until_at), closed = r.closed OR excluded.closed,
    product = CASE WHEN r.product = excluded.product THEN r.product ELSE '' END
