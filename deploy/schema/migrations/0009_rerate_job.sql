-- Jobs that rate usage anew (rater/rerate).

-- +goose Up

-- The definitions that were active at the marker.
ALTER TABLE rater_marker ADD COLUMN under_seq bigint NOT NULL DEFAULT 0;

-- One row a sequence number, written with the definitions; or with nothing, when somebody asks.
CREATE TABLE rerate_job (
    seq        bigint PRIMARY KEY,
    demand     boolean NOT NULL,
    account    text    NOT NULL DEFAULT '',       -- of a demand, as the following; empty and zero are all
    product    text    NOT NULL DEFAULT '',
    from_at    bigint  NOT NULL DEFAULT 0,
    until_at   bigint  NOT NULL DEFAULT 0,
    phase      text    NOT NULL DEFAULT 'looking' CHECK (phase IN ('looking', 'waiting', 'accounts', 'done')),
    pass       integer NOT NULL DEFAULT 0,        -- how often all lines were looked at
    cursor_at  text    NOT NULL DEFAULT '',
    found      bigint  NOT NULL DEFAULT 0,        -- lines swept in this pass
    swept      bigint  NOT NULL DEFAULT 0,
    message    text    NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz
);
CREATE INDEX rerate_job_open ON rerate_job (seq) WHERE phase <> 'done';

-- The ends of the log behind a job's sweeps.
CREATE TABLE rerate_sweep (
    seq        bigint  NOT NULL,
    partition  integer NOT NULL,
    end_offset bigint  NOT NULL,
    PRIMARY KEY (seq, partition)
);

-- The accounts that a job rates anew.
CREATE TABLE rerate_account (
    account   text    NOT NULL,
    seq       bigint  NOT NULL,
    partition integer NOT NULL,
    product   text    NOT NULL,                   -- '': all
    from_at   bigint  NOT NULL,
    until_at  bigint  NOT NULL,
    closed    boolean NOT NULL,                   -- closed invoices are corrected
    state     text    NOT NULL CHECK (state IN ('open', 'done', 'failed')),
    message   text    NOT NULL,
    lines     bigint  NOT NULL,
    changed   bigint  NOT NULL,
    PRIMARY KEY (account, seq)
);
CREATE INDEX rerate_account_open ON rerate_account (seq, account) WHERE state = 'open';
CREATE INDEX rerate_account_by_seq ON rerate_account (seq, state);

CREATE TABLE rerate_lease (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    owner    text        NOT NULL,
    until    timestamptz NOT NULL
);

-- +goose Down
DROP TABLE rerate_lease, rerate_account, rerate_sweep, rerate_job;
ALTER TABLE rater_marker DROP COLUMN under_seq;
