package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/deploy/local"
	"github.com/tollstream/tollstream/deploy/schema"
	raterpg "github.com/tollstream/tollstream/rater/pg"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
)

// stores are the servers that the process works with: those that were named, and embedded ones for the rest.
type stores struct {
	local       *local.Stores // nil: all were named
	kafka       []string
	ownKafka    bool
	ownPostgres bool
	postgres    string
	clickhouse  string
	pool        *pgxpool.Pool
	redis       redis.UniversalClient
}

func (s *stores) embedded() bool { return s.ownKafka }

func openStores(ctx context.Context, c Config) (*stores, error) {
	s := &stores{kafka: c.Kafka, postgres: c.Postgres, clickhouse: c.ClickHouse}
	address := c.Redis
	if own := (local.Config{DataDir: c.DataDir, Kafka: len(c.Kafka) == 0, Postgres: c.Postgres == "", Redis: c.Redis == "", Partitions: c.Partitions, Log: c.Log}); own.Kafka || own.Postgres || own.Redis {
		var err error
		if s.local, err = local.Start(ctx, own); err != nil {
			return nil, err
		}
		if own.Kafka {
			s.kafka, s.ownKafka = s.local.KafkaBrokers, true
		}
		if own.Postgres {
			s.postgres, s.ownPostgres = s.local.PostgresURL, true
		}
		if own.Redis {
			address = s.local.RedisURL
		}
	}
	if err := s.connect(ctx, address, c.Log); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// connectPostgres opens the pool and makes sure that the server is there.
func (s *stores) connectPostgres(ctx context.Context) error {
	config, err := pgxpool.ParseConfig(s.postgres)
	if err != nil {
		return fmt.Errorf("read TOLLSTREAM_POSTGRES: %w", err)
	}
	config.MaxConns = max(config.MaxConns, 16)
	raterpg.Configure(config)
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("reach PostgreSQL at %s: %w; is it running, and is TOLLSTREAM_POSTGRES right?", redacted(s.postgres), err)
	}
	return nil
}

func (s *stores) connect(ctx context.Context, redisURL string, log *slog.Logger) error {
	if err := s.connectPostgres(ctx); err != nil {
		return err
	}
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return fmt.Errorf("read TOLLSTREAM_REDIS: %w", err)
	}
	redis.SetLogger(redisLog{log})
	s.redis = redis.NewClient(options)
	return nil
}

// redisLog passes on what the driver says of itself: failed dials, which its caller sees as errors too.
type redisLog struct{ log *slog.Logger }

// Printf implements the driver's logger.
func (l redisLog) Printf(_ context.Context, format string, args ...any) {
	l.log.Debug("redis", "message", fmt.Sprintf(format, args...))
}

// migrate brings the stores to this version's schema.
func migrate(ctx context.Context, s *stores) error {
	if err := schema.Migrate(ctx, s.postgres); err != nil {
		return err
	}
	if s.clickhouse != "" {
		return clickhouse.Migrate(ctx, s.clickhouse)
	}
	return nil
}

// Migrate opens the stores, brings them to this version's schema and closes them again.
func Migrate(ctx context.Context, c Config) error {
	s, err := openStores(ctx, c)
	if err != nil {
		return err
	}
	defer s.close()
	return migrate(ctx, s)
}

func (s *stores) close() {
	if s.redis != nil {
		_ = s.redis.Close() // nothing of it has to be kept
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.local != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = s.local.Close(ctx) // it says itself what went wrong
	}
}
