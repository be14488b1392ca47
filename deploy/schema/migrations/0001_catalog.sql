-- Definitions (rater/catalog/pg): what decides prices, versioned by one global sequence number.

-- +goose Up

-- The counter row is locked by every change until its commit, so that sequence numbers become
-- visible in their order.
CREATE TABLE catalog_counter (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    seq      bigint  NOT NULL DEFAULT 0,
    hash     bigint  NOT NULL DEFAULT 0   -- the chain's hash after seq
);
INSERT INTO catalog_counter DEFAULT VALUES;

-- Rows never change. A deleted row keeps the last body: whoever defines the id again goes on from it.
CREATE TABLE definition (
    kind    text    NOT NULL,
    id      text    NOT NULL,
    seq     bigint  NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    parent  text    NOT NULL DEFAULT '',  -- an account's parent; a contract's account
    body    text    NOT NULL,
    PRIMARY KEY (kind, id, seq)
);
CREATE INDEX definition_by_seq ON definition (seq);
CREATE INDEX definition_contracts ON definition (parent, id, seq DESC) WHERE kind = 'contract';

-- The accounts as they are now, for look-ups that must not read definitions.
CREATE TABLE account (
    id          text    PRIMARY KEY,
    parent      text    NOT NULL DEFAULT '',
    routing_key text    NOT NULL,
    -- whether any billing term, past or to come, bills it to its parent
    parent_pays boolean NOT NULL DEFAULT false,
    deleted     boolean NOT NULL DEFAULT false
);
CREATE INDEX account_by_parent ON account (parent) WHERE parent <> '';

-- Other names of accounts, as of the time of the usage. Instants in nanoseconds since the epoch.
CREATE TABLE identifier (
    value    text   NOT NULL,
    start_at bigint NOT NULL,
    end_at   bigint NOT NULL,
    account  text   NOT NULL,
    PRIMARY KEY (value, start_at)
);
CREATE INDEX identifier_by_account ON identifier (account);

-- Which definitions name which others now, so that what is still used is not deleted. The kind
-- 'rate' holds the rate ids that were chosen by hand: they are unique in the catalogue.
CREATE TABLE definition_use (
    kind       text NOT NULL,
    id         text NOT NULL,
    used_kind  text NOT NULL,
    used_id    text NOT NULL,
    PRIMARY KEY (kind, id, used_kind, used_id)
);
CREATE INDEX definition_use_by_used ON definition_use (used_kind, used_id);

-- One row a sequence number: what the publisher broadcasts to the partitions.
CREATE TABLE catalog_outbox (
    seq        bigint PRIMARY KEY,
    hash       bigint NOT NULL,       -- the chain's hash after seq
    rows_count bigint NOT NULL,
    applied_at timestamptz NOT NULL
);

-- How far each partition has acknowledged the broadcast.
CREATE TABLE catalog_published (
    partition integer PRIMARY KEY,
    seq       bigint  NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE catalog_published, catalog_outbox, definition_use, identifier, account, definition, catalog_counter;
