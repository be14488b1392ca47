-- COPY knows no ON CONFLICT, so a block with keys that are there goes through a table of the session.
CREATE TEMPORARY TABLE IF NOT EXISTS rated_activity_stage (LIKE rated_activity) ON COMMIT DELETE ROWS
