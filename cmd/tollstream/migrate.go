package main

import (
	"context"
	"log/slog"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

// migrateAll brings every store to this version's schema.
func migrateAll(ctx context.Context, cfg Settings, log *slog.Logger) error {
	c, err := serverConfig(cfg, log, nil)
	if err != nil {
		return err
	}
	return server.Migrate(ctx, c)
}
