package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	_ "time/tzdata" // accounts name their zones, whether or not the machine knows them

	"github.com/tollstream/tollstream/cmd/tollstream/demo"
	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

func (s *Settings) serverConfig(log *slog.Logger) server.Config {
	return server.Config{
		DataDir: s.DataDir, HTTPAddr: s.HTTPAddr, Kafka: s.Kafka, Postgres: s.Postgres, Redis: s.Redis, ClickHouse: s.ClickHouse,
		Partitions: s.PartitionCount(), AllowUnsafe: s.AllowUnsafeBroker, Version: programVersion().Version, Log: log,
	}
}

// runServer serves in the roles until ctx ends and everything under way is finished.
func runServer(ctx context.Context, cfg Settings, log *slog.Logger, names []string, play bool) error {
	roles, err := server.ParseRoles(names)
	if err != nil {
		return &usageError{err}
	}
	config := cfg.serverConfig(log)
	config.Roles = roles
	playing, stopPlaying := context.WithCancel(ctx)
	var player sync.WaitGroup
	config.Ready = func(address, key string) {
		if key != "" {
			fmt.Fprintf(os.Stdout, "admin key: %s\n", key)
		}
		if address == "" {
			log.Info("ready")
			return
		}
		fmt.Fprintf(os.Stdout, "ready: http://%s (operators: /ops, API: /docs)\n", address)
		if play {
			if key == "" {
				key = cfg.APIKey
			}
			player.Go(func() {
				err := demo.Play(playing, demo.Settings{
					Addr: address, Key: key, KeyFile: filepath.Join(cfg.DataDir, "demo.key"), Out: os.Stdout, Patient: true,
				}, log)
				if err != nil && playing.Err() == nil {
					log.Error("the demo ended", "error", err)
				}
			})
		}
	}
	err = server.Run(ctx, config)
	stopPlaying()
	player.Wait()
	return err
}
