-- Distinct values (rater/pg): which values the aggregation unique has counted, and in which places of their lines, committed with the
-- lines. A row a value; there may be millions to a line, of which a rater reads those that it meets.

-- +goose Up
CREATE TABLE rater_value (
    partition integer NOT NULL,
    set       uuid    NOT NULL,                   -- of an attribute, in a cell of a family's lines
    value     uuid    NOT NULL,                   -- its 128-bit hash
    places    bigint  NOT NULL,                   -- a bit each
    PRIMARY KEY (partition, set, value)
);

-- +goose Down
DROP TABLE rater_value;
