-- Who runs which collector and when, what they have seen in their places, and their passes (collector/pg).

-- +goose Up

-- One row a collector, made when it is first looked at. Whoever holds the lease runs its pass; the token rises with every taking, so
-- that one who slept through the lease is told from the one who has it.
CREATE TABLE collector_state (
    name        text        PRIMARY KEY,
    version     integer     NOT NULL DEFAULT 0,      -- of the configuration that next_due follows from
    paused      boolean     NOT NULL DEFAULT false,
    wanted      boolean     NOT NULL DEFAULT false,  -- somebody asked for a pass
    next_due    timestamptz,                         -- null: only by hand
    owner       text        NOT NULL DEFAULT '',     -- not empty when the lease is over: its process died
    token       bigint      NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    changed_at  timestamptz NOT NULL DEFAULT now()   -- of paused
);

-- One look at a collector's place, and what came of the files found there:
-- found = known + waiting + old + taken + failed + left.
CREATE TABLE collector_pass (
    id             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    collector      text        NOT NULL,
    config_version integer     NOT NULL,
    cause          text        NOT NULL CHECK (cause IN ('schedule', 'hand', 'takeover')),
    state          text        NOT NULL CHECK (state IN ('running', 'done', 'failed', 'interrupted')),
    message        text        NOT NULL DEFAULT '',
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    found          bigint      NOT NULL DEFAULT 0,
    known          bigint      NOT NULL DEFAULT 0,   -- processed by earlier passes, or failed in one and not changed since
    waiting        bigint      NOT NULL DEFAULT 0,   -- may not be complete yet
    old            bigint      NOT NULL DEFAULT 0,   -- modified before the lookback
    taken          bigint      NOT NULL DEFAULT 0,   -- processed to the end
    failed         bigint      NOT NULL DEFAULT 0,
    skipped        bigint      NOT NULL DEFAULT 0    -- not reached when the pass ended
);
CREATE INDEX collector_pass_by_collector ON collector_pass (collector, id DESC);

-- What was last seen under a path. Listing again fetches nothing that stands here as done.
CREATE TABLE collector_seen (
    collector text        NOT NULL,
    path      text        NOT NULL,
    size      bigint      NOT NULL,
    modified  timestamptz,           -- null: the place does not say
    version   text        NOT NULL,
    since     timestamptz NOT NULL,  -- when it was first seen as it is
    state     text        NOT NULL CHECK (state IN ('waiting', 'done', 'failed')),
    hash      text        NOT NULL DEFAULT '',
    message   text        NOT NULL DEFAULT '',
    config_version integer NOT NULL DEFAULT 0, -- under which it failed
    afterwards boolean    NOT NULL DEFAULT false, -- it is done, and still has to be moved, renamed or deleted
    PRIMARY KEY (collector, path)
);
CREATE INDEX collector_seen_afterwards ON collector_seen (collector) WHERE afterwards;

ALTER TABLE collector_run ADD COLUMN pass bigint REFERENCES collector_pass (id);
CREATE INDEX collector_run_by_pass ON collector_run (pass) WHERE pass IS NOT NULL;

-- +goose Down
DROP INDEX collector_run_by_pass;
ALTER TABLE collector_run DROP COLUMN pass;
DROP TABLE collector_seen;
DROP TABLE collector_pass;
DROP TABLE collector_state;
