-- Rows that shall make no event, and the events of those that make some: rows = sent + filtered + rejected (collector/pg).

-- +goose Up
ALTER TABLE collector_run
    ADD COLUMN filtered bigint NOT NULL DEFAULT 0,
    ADD COLUMN events   bigint NOT NULL DEFAULT 0;
UPDATE collector_run SET events = sent;

-- +goose Down
ALTER TABLE collector_run
    DROP COLUMN filtered,
    DROP COLUMN events;
