-- Folds the newest changes of families above $3 (null: from the first on) up to $4 into their rows. Indexes: line_change_pkey, a range
-- of each commit that begins with the row that $3 may stand in; line_pkey as in commit_known_lines. A row that a later commit
-- has written stays.
UPDATE line l
SET quantity = c.texts[6*u.n-5]::numeric, amount = c.texts[6*u.n-4]::numeric, rate_level = c.texts[6*u.n-3], rate_account = c.texts[6*u.n-2],
    rate_id = c.texts[6*u.n-1], rate_model = c.texts[6*u.n], events = c.numbers[3*u.n-2], seq = c.numbers[3*u.n-1],
    version = c.numbers[3*u.n], segments = c.segments[u.n], cut = u.cut
FROM (
    SELECT DISTINCT ON (e.family, e.position) e.family, e.position, e.n, x.cut, x.place
    FROM line_cut k
    CROSS JOIN LATERAL (
        SELECT y.ctid AS place, y.cut, y.families, y.positions
        FROM line_change y
        WHERE y.partition = $1 AND y.cut = k.cut AND y.first <= $4
          AND y.first >= coalesce((
            SELECT z.first
            FROM line_change z
            WHERE z.partition = $1 AND z.cut = k.cut AND z.first <= $3
            ORDER BY z.first DESC
            LIMIT 1), '00000000-0000-0000-0000-000000000000')
        OFFSET 0
    ) x
    CROSS JOIN LATERAL unnest(x.families, x.positions) WITH ORDINALITY AS e (family, position, n)
    WHERE k.partition = $1 AND k.cut <= $2 AND e.family <= $4 AND ($3::uuid IS NULL OR e.family > $3)
    ORDER BY e.family, e.position, x.cut DESC
) u
CROSS JOIN LATERAL (SELECT * FROM line_change y WHERE y.ctid = u.place OFFSET 0) c
CROSS JOIN LATERAL (
    SELECT k.ctid AS place
    FROM line k
    WHERE k.partition = $1 AND k.family = u.family AND k.position = u.position
    OFFSET 0
) k
WHERE l.ctid = k.place AND l.cut < u.cut
