-- index: api_key_by_creation
SELECT id, prefix, name, role, account, hash, created_at, revoked_at, last_used_at FROM api_key
WHERE $1 = '' OR (created_at, id) < (SELECT k.created_at, k.id FROM api_key k WHERE k.id = $1)
ORDER BY created_at DESC, id DESC LIMIT $2
