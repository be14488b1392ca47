-- Pools (rater/pg): usage of a period whose tiers several lines have together, committed with the lines. Their shares, which
-- stand in the lines' segments, add up to the amount.

-- +goose Up
CREATE TABLE rater_pool (
    partition   integer NOT NULL,
    pool        uuid    NOT NULL,
    scope       text    NOT NULL,                 -- account, package or invoice
    shared_by   text    NOT NULL,                 -- the account or the package; '': all that are billed together
    seller      text    NOT NULL,
    billed      text    NOT NULL,
    product     text    NOT NULL,                 -- '': the capacities of an account
    currency    text    NOT NULL,
    usage_start bigint  NOT NULL,
    usage_end   bigint  NOT NULL,
    amount      numeric NOT NULL,
    segments    bytea   NOT NULL,
    seq         bigint  NOT NULL,
    version     bigint  NOT NULL,
    PRIMARY KEY (partition, pool)
) WITH (fillfactor = 50);                         -- updated every second, as lines are
CREATE INDEX rater_pool_by_pool ON rater_pool (pool);

-- Definitions that share tiers between accounts name the kind 'pool'; those that stand here before did not share any.

-- +goose Down
DROP TABLE rater_pool;
