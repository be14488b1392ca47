-- Changed lines of large commits (rater/pg) are appended here, some in a row, and folded into their rows later.

-- +goose Up

-- The commit that wrote the row, by its next offset. What commits behind it have appended replaces the row's amounts.
ALTER TABLE line ADD COLUMN cut bigint NOT NULL DEFAULT 0;

-- A commit whose lines are not folded yet.
CREATE TABLE line_cut (
    partition integer NOT NULL,
    cut       bigint  NOT NULL,                   -- next offset of the commit
    lines     integer NOT NULL,
    folded    uuid,                               -- of this commit and those before it the families up to here are folded
    PRIMARY KEY (partition, cut)
);

-- Its lines, ordered by family: those of a family stand in one row, and rows are kept so small that nothing is split off the page.
CREATE TABLE line_change (
    partition integer   NOT NULL,
    cut       bigint    NOT NULL,
    first     uuid      NOT NULL,                 -- the row's first family
    families  uuid[]    NOT NULL,                 -- of each line, as what follows
    positions integer[] NOT NULL,
    numbers   bigint[]  NOT NULL,                 -- three each: events, seq, version
    texts     text[]    NOT NULL,                 -- six each: quantity, amount, and of the rate level, account, id, model
    segments  bytea[]   NOT NULL,
    PRIMARY KEY (partition, cut, first)
);
ALTER TABLE line_change
    ALTER COLUMN families SET STORAGE EXTERNAL, ALTER COLUMN positions SET STORAGE EXTERNAL, ALTER COLUMN numbers SET STORAGE EXTERNAL,
    ALTER COLUMN texts SET STORAGE EXTERNAL, ALTER COLUMN segments SET STORAGE EXTERNAL;

-- The lines as they were committed. Indexes: those of line; then, for each line, line_cut_pkey and one descent in line_change_pkey for
-- each commit of its partition that is not folded.
CREATE VIEW line_now AS
SELECT
    l.partition, l.family, l.position, l.line, l.invoice, l.account, l.billed, l.seller, l.product, l.package, l.group_values, l.currency,
    l.period_start, l.period_end, l.usage_start, l.usage_end, coalesce(c.quantity, l.quantity) AS quantity, coalesce(c.events, l.events) AS events,
    coalesce(c.amount, l.amount) AS amount, coalesce(c.segments, l.segments) AS segments, coalesce(c.seq, l.seq) AS seq,
    coalesce(c.rate_level, l.rate_level) AS rate_level, coalesce(c.rate_account, l.rate_account) AS rate_account,
    coalesce(c.rate_id, l.rate_id) AS rate_id, coalesce(c.rate_model, l.rate_model) AS rate_model, coalesce(c.version, l.version) AS version,
    l.owed, l.second
FROM line l
LEFT JOIN LATERAL (
    SELECT
        x.numbers[3*e.n-2] AS events, x.numbers[3*e.n-1] AS seq, x.numbers[3*e.n] AS version, x.segments[e.n] AS segments,
        x.texts[6*e.n-5]::numeric AS quantity, x.texts[6*e.n-4]::numeric AS amount,
        x.texts[6*e.n-3] AS rate_level, x.texts[6*e.n-2] AS rate_account, x.texts[6*e.n-1] AS rate_id, x.texts[6*e.n] AS rate_model
    FROM line_cut k
    CROSS JOIN LATERAL (
        SELECT *
        FROM line_change y
        WHERE y.partition = l.partition AND y.cut = k.cut AND y.first <= l.family
        ORDER BY y.first DESC
        LIMIT 1
    ) x
    CROSS JOIN LATERAL unnest(x.families, x.positions) WITH ORDINALITY AS e (family, position, n)
    WHERE k.partition = l.partition AND k.cut > l.cut AND e.family = l.family AND e.position = l.position
    ORDER BY k.cut DESC
    LIMIT 1
) c ON true;

-- +goose Down
UPDATE line l
SET quantity = n.quantity, events = n.events, amount = n.amount, segments = n.segments, seq = n.seq, rate_level = n.rate_level,
    rate_account = n.rate_account, rate_id = n.rate_id, rate_model = n.rate_model, version = n.version
FROM line_now n
WHERE n.partition = l.partition AND n.family = l.family AND n.position = l.position;
DROP VIEW line_now;
DROP TABLE line_change, line_cut;
ALTER TABLE line DROP COLUMN cut;
