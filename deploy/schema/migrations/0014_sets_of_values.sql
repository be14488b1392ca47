-- How long distinct values are of use (rater/pg): until another set has taken the place of theirs, or no usage of their period is taken any
-- more. A row a set, committed with its values; it goes when they are deleted. Sets of before this table are found when they are gone.

-- +goose Up
CREATE TABLE rater_set (
    partition integer NOT NULL,
    set       uuid    NOT NULL,
    owed      text    NOT NULL,                   -- who is billed for the period
    usage_end bigint  NOT NULL,                   -- of the period
    gone      boolean NOT NULL,
    PRIMARY KEY (partition, set)
);
CREATE INDEX rater_set_gone ON rater_set (partition) WHERE gone;
CREATE INDEX rater_set_by_end ON rater_set (partition, usage_end);

-- Sets in which values are counted anew behind a marker.
ALTER TABLE rater_marker ADD COLUMN sets bytea NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE rater_marker DROP COLUMN sets;
DROP TABLE rater_set;
