// Package local starts the stores that tollstream needs when no server is
// given: a Kafka broker, PostgreSQL and Redis, all on 127.0.0.1 and all below
// one data directory. It is the machine room of `tollstream run` without URLs
// and imports no other package of tollstream.
//
// Invariants:
//
//   - A data directory belongs to one process at a time (flock on DataDir/lock).
//   - What a store acknowledged survives a kill -9 of this process: every write
//     to the broker is synced before it is answered, PostgreSQL runs with fsync.
//     Redis is memory only; it holds nothing that cannot be rebuilt.
//   - PostgreSQL never runs as root. Started by root it runs as the owner of its
//     files, at first the user postgres or else nobody, and it gets along below
//     directories that this user may not enter, such as /root.
//   - No server outlives its process for long: PostgreSQL is told to stop by the
//     kernel when the parent dies, and the next start waits for a left-over.
//
// # What the embedded broker is not
//
// The broker is franz-go's kfake: the real protocol, in process, with its log on
// disk. Compared with Apache Kafka:
//
//   - One node, no replication. Topics are created with replication factor 1 or
//     -1; a higher one is refused.
//   - Timestamps are those of the publisher. A topic may carry
//     message.timestamp.type=LogAppendTime, but the broker does not apply it.
//   - flush.messages and flush.ms are unknown topic settings and refused. Every
//     produced batch is synced anyway. The result of fsync itself is not looked
//     at, so a disk that reports write errors only there is not noticed.
//   - Producer sequences are kept across a clean stop only. After a kill -9 a
//     surviving idempotent client's resend of a batch that was written but not
//     acknowledged is written a second time; readers must tolerate duplicates.
//   - Leader epochs never rise by a restart, so a client learns of lost records
//     from offsets out of range only.
//   - The whole log is read at the start, with everything after an unclean stop
//     held in memory for the moment. It is meant for gigabytes, not terabytes.
//   - All requests are served by one goroutine; a sync delays its neighbours.
//
// Consumer groups work as in Kafka, with the eager, cooperative and server-side
// (KIP-848) protocols; committed offsets are kept on disk, memberships are not.
//
// Linux only: the supervision of PostgreSQL rests on parent-death signals and
// /proc.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// DefaultPartitions is the number of partitions of a topic that is created
// without one, when Config.Partitions is zero.
const DefaultPartitions = 8

// Config says which stores to start and where they keep their files.
type Config struct {
	// DataDir holds everything; it is created if it is missing. Required.
	DataDir string
	// Kafka, Postgres and Redis say which stores to start.
	Kafka, Postgres, Redis bool
	// Partitions is the default for topics that are created without a number
	// of partitions. Zero means DefaultPartitions.
	Partitions int
	// BinaryDir is where PostgreSQL's programs are fetched to when the system
	// has none. Empty means tollstream/postgres in the user's cache directory,
	// or /var/cache for root, whose cache another user could not enter.
	BinaryDir string
	// Log receives progress and the servers' warnings. Nil discards them.
	Log *slog.Logger
}

// Stores are the running stores. Addresses of stores that were not asked for
// are empty. Ports are kept from one start to the next when they are still free.
type Stores struct {
	KafkaBrokers []string // host:port
	PostgresURL  string   // postgres://…, with its password
	RedisURL     string   // redis://…

	lock     *dirLock
	kafka    *broker
	postgres *postgresServer
	redis    *memoryRedis
}

// Start starts the stores that cfg asks for and returns when all of them answer.
// ctx bounds the start, not the life of the stores. A data directory that is in
// use is refused with an *InUseError. After an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Stores, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("start local stores: no data directory given")
	}
	if cfg.Partitions < 0 {
		return nil, fmt.Errorf("start local stores: %d partitions: must not be negative", cfg.Partitions)
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = DefaultPartitions
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start local stores: %w", err)
	}
	cfg.DataDir = dir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("start local stores: create the data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Stores{lock: lock}
	if err := s.start(ctx, cfg); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Stores) start(ctx context.Context, cfg Config) error {
	ports := readPorts(cfg.DataDir)
	var err error
	if cfg.Kafka {
		if s.kafka, err = startBroker(cfg, ports.Kafka); err != nil {
			return err
		}
		s.KafkaBrokers = s.kafka.addrs
		ports.Kafka = portOf(s.kafka.addrs[0])
	}
	if cfg.Redis {
		if s.redis, err = startRedis(ports.Redis); err != nil {
			return err
		}
		s.RedisURL = "redis://" + s.redis.addr + "/0"
		ports.Redis = portOf(s.redis.addr)
	}
	if cfg.Postgres {
		if s.postgres, err = startPostgres(ctx, cfg, ports.Postgres); err != nil {
			return err
		}
		s.PostgresURL = s.postgres.url(databaseName)
		ports.Postgres = s.postgres.port
	}
	return writePorts(cfg.DataDir, ports)
}

// Close stops the stores and releases the data directory. PostgreSQL gets until
// ctx is done for an orderly shutdown and is killed then, which loses nothing but
// makes the next start slower. Close the stores' clients first: a client that
// still belongs to a consumer group is waited for at the next start. Close may be
// called more than once.
func (s *Stores) Close(ctx context.Context) error {
	var errs []error
	if s.redis != nil {
		s.redis.close()
		s.redis = nil
	}
	if s.kafka != nil {
		s.kafka.close()
		s.kafka = nil
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.close(ctx))
		s.postgres = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
		s.lock = nil
	}
	return errors.Join(errs...)
}
