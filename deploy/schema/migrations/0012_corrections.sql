-- Usage events that correct others.

-- +goose Up
-- Constant defaults: the rows that are there are not written anew. '' where nothing is corrected.
ALTER TABLE rated_activity
    ADD COLUMN corrects_source text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN corrects_id     text COLLATE "C" NOT NULL DEFAULT '';

-- Corrections that wait for their lines to be rated again.
CREATE INDEX rejected_usage_waiting ON rejected_usage (account, partition, usage_offset, event_index)
    WHERE state = 'open' AND reason = 'correction_waits';

-- +goose Down
DROP INDEX rejected_usage_waiting;
ALTER TABLE rated_activity DROP COLUMN corrects_source, DROP COLUMN corrects_id;
