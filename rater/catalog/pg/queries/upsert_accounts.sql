-- Accounts as they are now; a routing key never changes. Index: account_pkey.
INSERT INTO account (id, parent, routing_key, parent_pays, deleted)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::boolean[])
ON CONFLICT (id) DO UPDATE
SET parent = excluded.parent, parent_pays = excluded.parent_pays, deleted = excluded.deleted
