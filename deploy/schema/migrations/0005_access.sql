-- Access (api/pg): who may call.

-- +goose Up

-- A key is kept as its SHA-256 only. Rows are never deleted: a revoked key stays to be recognised.
CREATE TABLE api_key (
    id           text        PRIMARY KEY,
    prefix       text        NOT NULL,
    name         text        NOT NULL,
    role         text        NOT NULL,
    account      text        NOT NULL DEFAULT '',  -- of a customer key
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    created_at   timestamptz NOT NULL,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
CREATE UNIQUE INDEX api_key_by_hash ON api_key (hash);
CREATE INDEX api_key_by_creation ON api_key (created_at DESC, id DESC);

-- What links and sessions are signed with.
CREATE TABLE access_secret (
    name       text        PRIMARY KEY,
    secret     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE access_secret, api_key;
