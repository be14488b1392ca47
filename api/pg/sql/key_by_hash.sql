-- index: api_key_by_hash
SELECT id, prefix, name, role, account, hash, created_at, revoked_at, last_used_at FROM api_key WHERE hash = $1
