-- Rating (rater/pg): the checkpoint and what is committed with it. Instants are nanoseconds since the
-- Unix epoch, for the log's times are exact to the nanosecond. Every key begins with the partition.

-- +goose Up

-- Who rates a partition and how far it is committed. The row is the fence of everything below.
CREATE TABLE rater_checkpoint (
    partition     integer PRIMARY KEY,
    epoch         bigint  NOT NULL,               -- raised by every assignment
    owner         uuid    NOT NULL,
    next_offset   bigint  NOT NULL DEFAULT 0,
    last_offset   bigint  NOT NULL DEFAULT -1,
    leader_epoch  integer NOT NULL DEFAULT -1,
    rated_next    bigint  NOT NULL DEFAULT 0,
    log_time      bigint  NOT NULL DEFAULT 0,
    activated_seq bigint  NOT NULL DEFAULT 0,
    activated_sum bigint  NOT NULL DEFAULT 0,     -- the hash's 64 bits
    committed_at  timestamptz
) WITH (fillfactor = 10);                         -- updated every second: all versions stay on one page

-- accepted + retried = rated + duplicates + rejected, summed over the currencies of a month.
CREATE TABLE rater_count (
    partition  integer NOT NULL,
    month      integer NOT NULL,                  -- year * 12 + month - 1, UTC, of the events' time
    currency   text    NOT NULL,                  -- '': what has none
    accepted   bigint  NOT NULL,
    retried    bigint  NOT NULL,
    rated      bigint  NOT NULL,
    duplicates bigint  NOT NULL,
    rejected   bigint  NOT NULL,
    charged    numeric NOT NULL,
    PRIMARY KEY (partition, month, currency)
) WITH (fillfactor = 50);

-- The lines of invoices. A family is the line of a period's usage (position 0) and the lines of later
-- invoices that continue it with late usage.
CREATE TABLE line (
    partition    integer NOT NULL,
    family       uuid    NOT NULL,
    position     integer NOT NULL,
    line         uuid    NOT NULL,
    invoice      uuid    NOT NULL,
    account      text    NOT NULL,
    billed       text    NOT NULL,
    seller       text    NOT NULL,
    product      text    NOT NULL,
    package      text    NOT NULL,
    group_values text    NOT NULL,                -- JSON: [[name, value], …] in the product's order
    currency     text    NOT NULL,
    period_start bigint  NOT NULL,
    period_end   bigint  NOT NULL,
    usage_start  bigint  NOT NULL,
    usage_end    bigint  NOT NULL,
    quantity     numeric NOT NULL,
    events       bigint  NOT NULL,
    amount       numeric NOT NULL,
    segments     bytea   NOT NULL,
    seq          bigint  NOT NULL,
    rate_level   text    NOT NULL,
    rate_account text    NOT NULL,
    rate_id      text    NOT NULL,
    rate_model   text    NOT NULL,
    version      bigint  NOT NULL,
    PRIMARY KEY (partition, family, position)
) WITH (fillfactor = 50);                         -- a checkpoint may change every line: both versions on one page, no index written
CREATE INDEX line_by_invoice ON line (invoice);
CREATE INDEX line_by_billed ON line (billed, period_end);

-- Usage that could not be rated, whole, so that it can be retried.
CREATE TABLE rejected_usage (
    partition    integer NOT NULL,
    usage_offset bigint  NOT NULL,
    event_index  integer NOT NULL,
    log_time     bigint  NOT NULL,                -- of its arrival
    reason       text    NOT NULL,
    state        text    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'discarded')),
    retry        boolean NOT NULL,                -- it came in a retry record
    account      text    NOT NULL,                -- as resolved, else as sent; to search by
    product      text    NOT NULL,
    source       text    NOT NULL,
    event_id     text    NOT NULL,
    event_time   bigint  NOT NULL,
    event        bytea   NOT NULL,                -- as a retry record on the wire; empty when raw is set
    raw          bytea   NOT NULL,                -- what could not be decoded
    state_at     timestamptz,                     -- when it was retried or discarded
    PRIMARY KEY (partition, usage_offset, event_index)
);
CREATE INDEX rejected_usage_by_state ON rejected_usage (state, log_time DESC, partition, usage_offset, event_index);
CREATE INDEX rejected_usage_by_account ON rejected_usage (account, log_time DESC) WHERE state = 'open';

-- Up to where a billed account's periods are sealed on a partition.
CREATE TABLE seal (
    partition      integer NOT NULL,
    account        text    NOT NULL,
    sealed_through bigint  NOT NULL,              -- the newest of points
    points         bytea   NOT NULL,              -- 16 bytes a seal: through, seq; big endian
    PRIMARY KEY (partition, account)
);
CREATE INDEX seal_by_account ON seal (account);

-- Identities of rated events, in runs of the same arrival: arrival (8 bytes) and count (4), then id (16) and hash (8)
-- of each. One row a commit and day of arrival, until the day is over and compacted.
CREATE TABLE identity_segment (
    partition   integer NOT NULL,
    day         integer NOT NULL,                 -- since the Unix epoch, UTC
    next_offset bigint  NOT NULL,                 -- of the commit
    entries     bytea   NOT NULL,
    PRIMARY KEY (partition, day, next_offset)
);
ALTER TABLE identity_segment ALTER COLUMN entries SET STORAGE EXTERNAL; -- hashes do not compress

-- Numbers attempts at compacting a day, so that one that ends late never touches another's chunks.
CREATE SEQUENCE identity_attempt;

-- A compacted day: its segments count no more, the chunks of that attempt do.
CREATE TABLE identity_day (
    partition integer NOT NULL,
    day       integer NOT NULL,
    attempt   bigint  NOT NULL,
    keys      bigint  NOT NULL,
    PRIMARY KEY (partition, day)
);

-- Compacted identities: few enough in a row that it is not split off the page, so that a look-up
-- reads one page of the index's leaf and one of the table.
CREATE TABLE identity_chunk (
    partition integer NOT NULL,
    day       integer NOT NULL,
    attempt   bigint  NOT NULL,
    first_id  uuid    NOT NULL,
    entries   bytea   NOT NULL,
    PRIMARY KEY (partition, day, attempt, first_id)
);
ALTER TABLE identity_chunk ALTER COLUMN entries SET STORAGE PLAIN;

-- Bloom filters of compacted days.
CREATE TABLE identity_filter (
    partition integer NOT NULL,
    first_day integer NOT NULL,
    last_day  integer NOT NULL,
    keys      bigint  NOT NULL,
    probes    integer NOT NULL,
    bits      bytea   NOT NULL,
    PRIMARY KEY (partition, first_day)
);
ALTER TABLE identity_filter ALTER COLUMN bits SET STORAGE EXTERNAL;

-- Events that an operator told the rater to reject unseen.
CREATE TABLE rater_skip (
    partition    integer NOT NULL,
    usage_offset bigint  NOT NULL,
    event_index  integer NOT NULL,
    PRIMARY KEY (partition, usage_offset, event_index)
);

-- Offsets at which the rater failed; the third failure stops the partition.
CREATE TABLE rater_failure (
    partition    integer NOT NULL,
    usage_offset bigint  NOT NULL,
    event_index  integer NOT NULL,                -- at the last failure; -1: unknown
    failures     integer NOT NULL,
    message      text    NOT NULL,
    failed_at    timestamptz NOT NULL,
    PRIMARY KEY (partition, usage_offset)
);

-- +goose Down
DROP TABLE rater_failure, rater_skip, identity_filter, identity_chunk, identity_day, identity_segment, seal, rejected_usage, line, rater_count, rater_checkpoint;
DROP SEQUENCE identity_attempt;
