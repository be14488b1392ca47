package main

import (
	"context"
	"log/slog"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

// migrateAll brings every store to this version's schema.
func migrateAll(ctx context.Context, cfg Settings, log *slog.Logger) error {
	return server.Migrate(ctx, cfg.serverConfig(log))
}
