INSERT INTO api_key (id, prefix, name, role, account, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
