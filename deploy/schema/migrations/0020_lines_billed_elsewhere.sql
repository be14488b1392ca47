-- Lines of late usage that others are billed for than the usage's period was billed to. There are few.

-- +goose Up
CREATE INDEX line_by_owed ON line (owed, usage_start) WHERE billed <> owed;

-- +goose Down
DROP INDEX line_by_owed;
