-- index: primary key
UPDATE api_key SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1
RETURNING id, prefix, name, role, account, hash, created_at, revoked_at, last_used_at
