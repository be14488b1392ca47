-- Collectors (collector/pg): their configurations, the files they know, and the history of runs.

-- +goose Up

-- Configurations never change; the highest version of a name is the current one.
CREATE TABLE collector_config (
    name       text        NOT NULL,
    version    integer     NOT NULL,
    document   text        NOT NULL,   -- as it was written, YAML or JSON
    created_at timestamptz NOT NULL,
    PRIMARY KEY (name, version)
);

CREATE TABLE collector_run (
    id             bigint           GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collector      text             NOT NULL,
    config_version integer          NOT NULL,   -- 0: given by hand
    file           text             NOT NULL,
    file_hash      text             NOT NULL,
    file_bytes     bigint           NOT NULL,
    state          text             NOT NULL CHECK (state IN ('running', 'done', 'failed', 'interrupted')),
    message        text             NOT NULL DEFAULT '',
    started_at     timestamptz      NOT NULL,
    ended_at       timestamptz,
    from_line      bigint           NOT NULL,
    rows           bigint           NOT NULL DEFAULT 0,
    sent           bigint           NOT NULL DEFAULT 0,
    rejected       bigint           NOT NULL DEFAULT 0,
    bytes          bigint           NOT NULL DEFAULT 0,
    seconds        double precision NOT NULL DEFAULT 0,
    first_event    timestamptz,
    last_event     timestamptz
);
CREATE INDEX collector_run_by_collector ON collector_run (collector, id DESC);

-- A file, by its content, and how far it was processed. The run is the only one that may move it on.
CREATE TABLE collector_file (
    collector   text        NOT NULL,
    hash        text        NOT NULL,
    name        text        NOT NULL,   -- under which it was seen last
    run         bigint      NOT NULL REFERENCES collector_run (id),
    next_offset bigint      NOT NULL,   -- bytes of decoded text that are done
    next_line   bigint      NOT NULL,
    done        boolean     NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (collector, hash)
);

-- Rows that were not sent: the first 1,000 of a run.
CREATE TABLE collector_error (
    run     bigint NOT NULL REFERENCES collector_run (id),
    line    bigint NOT NULL,
    id      text   NOT NULL,
    code    text   NOT NULL,
    message text   NOT NULL,
    raw     text   NOT NULL,
    PRIMARY KEY (run, line)
);
