INSERT INTO collector_pass (collector, config_version, cause, state, started_at) VALUES ($1, $2, $3, 'running', $4) RETURNING id
