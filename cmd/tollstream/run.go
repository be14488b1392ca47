package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	_ "time/tzdata" // accounts name their zones, whether or not the machine knows them

	"github.com/tollstream/tollstream/cmd/tollstream/demo"
	"github.com/tollstream/tollstream/cmd/tollstream/server"
	"github.com/tollstream/tollstream/collector/secret"
)

// runServer serves in the roles until ctx ends and everything under way is finished.
func runServer(ctx context.Context, cfg Settings, log *slog.Logger, roles []string, play bool) error {
	c, err := serverConfig(cfg, log, roles)
	if err != nil {
		return err
	}
	playing, stopPlaying := context.WithCancel(ctx)
	defer stopPlaying()
	var player sync.WaitGroup
	c.Ready = func(address, adminKey string) {
		if adminKey != "" {
			fmt.Println("admin key: " + adminKey)
		}
		if address == "" {
			log.Info("ready")
			return
		}
		fmt.Println("listening on http://" + address + " (operators: /ops, API: /docs)")
		if play {
			player.Go(func() { playDemo(playing, cfg, log, address, adminKey) })
		}
	}
	err = server.Run(ctx, c)
	stopPlaying()
	player.Wait()
	return err
}

// playDemo plays until ctx ends. That it cannot does not stop the server.
func playDemo(ctx context.Context, cfg Settings, log *slog.Logger, address, adminKey string) {
	key := adminKey
	if key == "" {
		key = cfg.APIKey
	}
	err := demo.Play(ctx, demo.Settings{
		Addr: address, Key: key, KeyFile: filepath.Join(cfg.DataDir, "demo.key"), Out: os.Stdout, Patient: true,
	}, log)
	if err != nil && !errors.Is(err, context.Canceled) {
		log.Error("the demo ended; the server goes on", "error", err)
	}
}

func serverConfig(cfg Settings, log *slog.Logger, roles []string) (server.Config, error) {
	parsed, err := server.ParseRoles(roles)
	if err != nil {
		return server.Config{}, &usageError{err}
	}
	proxies, err := networks(cfg.TrustedProxies)
	if err != nil {
		return server.Config{}, &usageError{err}
	}
	return server.Config{
		Secrets: secret.Store{Getenv: os.Getenv, Dir: cfg.SecretsDir}, Proxies: proxies,
		DataDir: cfg.DataDir, HTTPAddr: cfg.HTTPAddr, Kafka: cfg.Kafka, Postgres: cfg.Postgres, Redis: cfg.Redis, ClickHouse: cfg.ClickHouse,
		Partitions: cfg.PartitionCount(), AllowUnsafe: cfg.AllowUnsafeBroker, Version: programVersion().Version, Roles: parsed, Log: log,
	}, nil
}
