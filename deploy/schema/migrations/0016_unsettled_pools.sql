-- Pools that lines have left when their usage was rated anew, so that others owe a difference: seq is below 0 (rater/pg), and says for which
-- definition. There are few, and not for long.

-- +goose Up
CREATE INDEX rater_pool_unsettled ON rater_pool (seq) WHERE seq < 0;

-- +goose Down
DROP INDEX rater_pool_unsettled;
