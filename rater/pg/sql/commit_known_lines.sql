-- Index: line_pkey, one descent a line, then the row by its place: OFFSET keeps the planner from any other order, whatever it believes
-- of a table that has just grown. Of a line that stands only this changes; the keys of the other indexes stay, so that its new version
-- needs no entries there.
UPDATE line l
SET quantity = u.quantity::numeric, events = u.events, amount = u.amount::numeric, segments = u.segments, seq = u.seq,
    rate_level = u.rate_level, rate_account = u.rate_account, rate_id = u.rate_id, rate_model = u.rate_model, version = u.version, cut = $14
FROM unnest(
    $2::uuid[], $3::integer[], $4::text[], $5::bigint[], $6::text[], $7::bytea[], $8::bigint[], $9::text[], $10::text[],
    $11::text[], $12::text[], $13::bigint[]
) AS u (family, position, quantity, events, amount, segments, seq, rate_level, rate_account, rate_id, rate_model, version)
CROSS JOIN LATERAL (
    SELECT k.ctid AS place
    FROM line k
    WHERE k.partition = $1 AND k.family = u.family AND k.position = u.position
    OFFSET 0
) k
WHERE l.ctid = k.place
