-- Rating usage anew after a definition has changed (rater/rerate, and rater/pg for what belongs to the checkpoint).

-- +goose Up

-- Who was billed for the usage's own period, and what the line has gathered behind its account's marker.
ALTER TABLE line
    ADD COLUMN owed   text  NOT NULL DEFAULT '',
    ADD COLUMN second bytea NOT NULL DEFAULT '';
CREATE INDEX line_by_account ON line (account);

-- Where rating an account anew stands on its partition.
CREATE TABLE rater_marker (
    partition integer NOT NULL,
    account   text    NOT NULL,
    seq       bigint  NOT NULL,
    attempt   bigint  NOT NULL,
    at_offset bigint  NOT NULL,                   -- the marker's
    open      boolean NOT NULL,                   -- its result is awaited
    over      boolean NOT NULL,                   -- it cannot be finished: the next attempt begins
    done_seq  bigint  NOT NULL,
    parts     bytea[] NOT NULL,                   -- of the result, as they were read; null: missing
    PRIMARY KEY (partition, account)
);
CREATE INDEX rater_marker_open ON rater_marker (partition) WHERE open;

-- +goose Down
DROP TABLE rater_marker;
DROP INDEX line_by_account;
ALTER TABLE line DROP COLUMN owed, DROP COLUMN second;
