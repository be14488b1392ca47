-- Who changed definitions or asked for usage to be rated anew, and what that did to lines, for those who ask later.

-- +goose Up
-- A constant default: the rows that are there are not written anew.
ALTER TABLE catalog_outbox ADD COLUMN author text NOT NULL DEFAULT '';

-- Adjustments by what caused them; there are few beside the usage.
CREATE INDEX rated_activity_by_cause ON rated_activity (source, activated_seq) WHERE kind = 2;

-- +goose Down
DROP INDEX rated_activity_by_cause;
ALTER TABLE catalog_outbox DROP COLUMN author;
