-- Levels (rater/pg): which lines' levels go on into the next period when their own is sealed, committed with the lines. A row goes when its
-- level has gone on.

-- +goose Up
CREATE TABLE rater_level (
    partition integer NOT NULL,
    owed      text    NOT NULL,                   -- who is billed for the period
    usage_end bigint  NOT NULL,                   -- of the period
    family    uuid    NOT NULL,
    PRIMARY KEY (partition, owed, usage_end, family)
);

-- +goose Down
DROP TABLE rater_level;
