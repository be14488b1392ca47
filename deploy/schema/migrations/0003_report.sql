-- The report store in PostgreSQL (rater/sink/postgres), and for both report stores the sink's position and lease.

-- +goose Up

-- One row for each activity; the key takes out what a sink inserts twice. Instants in nanoseconds since the epoch.
-- Text is ordered by bytes, as ClickHouse does.
CREATE TABLE rated_activity (
    source_partition integer  NOT NULL,
    usage_offset     bigint   NOT NULL,
    activity_index   integer  NOT NULL,
    log_ns           bigint   NOT NULL,
    month            integer  NOT NULL,   -- of the event time, UTC: year*12 + month-1
    event_ns         bigint   NOT NULL,
    kind             smallint NOT NULL,   -- 1 usage, 2 adjustment
    event_id         text     COLLATE "C" NOT NULL,
    source           text     COLLATE "C" NOT NULL,
    account          text     COLLATE "C" NOT NULL,
    billed_account   text     COLLATE "C" NOT NULL,
    seller           text     COLLATE "C" NOT NULL,
    product          text     COLLATE "C" NOT NULL,
    package          text     COLLATE "C" NOT NULL,
    attribute_names  text[]   NOT NULL,
    attribute_values text[]   NOT NULL,
    group_names      text[]   NOT NULL,
    group_values     text[]   NOT NULL,
    quantity         numeric  NOT NULL,   -- 12 decimals
    charge           numeric  NOT NULL,
    currency         text     COLLATE "C" NOT NULL,
    level            text     COLLATE "C" NOT NULL,
    rate_account     text     COLLATE "C" NOT NULL,
    rate_id          text     COLLATE "C" NOT NULL,
    rate_seq         bigint   NOT NULL,
    rate_model       text     COLLATE "C" NOT NULL,
    activated_seq    bigint   NOT NULL,
    invoice          bytea    NOT NULL,
    period_start_ns  bigint   NOT NULL,
    period_end_ns    bigint   NOT NULL,
    line             bytea    NOT NULL,
    usage_start_ns   bigint   NOT NULL,
    usage_end_ns     bigint   NOT NULL,
    line_amount      numeric  NOT NULL,
    PRIMARY KEY (source_partition, usage_offset, activity_index)
);
CREATE INDEX rated_activity_by_account ON rated_activity (account, event_ns);
CREATE INDEX rated_activity_by_month   ON rated_activity (month, source_partition);
CREATE INDEX rated_activity_by_invoice ON rated_activity (invoice, line);
CREATE INDEX rated_activity_by_line    ON rated_activity (line, source_partition, usage_offset, activity_index);
CREATE INDEX rated_activity_by_event   ON rated_activity (event_id);

CREATE TABLE sink_position (
    source_partition integer PRIMARY KEY,
    next_offset      bigint  NOT NULL,    -- of `rated`, to read next
    last_offset      bigint  NOT NULL     -- of `usage`, of the last record taken; -1 before the first
);

CREATE TABLE sink_lease (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    owner    text        NOT NULL,
    until    timestamptz NOT NULL
);

-- +goose Down
DROP TABLE sink_lease;
DROP TABLE sink_position;
DROP TABLE rated_activity;
