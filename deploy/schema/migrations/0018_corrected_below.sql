-- Up to where an event that a correction names is left out: behind that its name is another's.

-- +goose Up
-- A constant default: the rows that are there are not written anew. 0 where nothing was left out, or where it was before that was noted.
ALTER TABLE rated_activity ADD COLUMN corrects_below bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE rated_activity DROP COLUMN corrects_below;
