package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/deploy/schema"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
)

// The servers' addresses, as deploy/servers/servers names them.
const (
	envKafka    = "TOLLSTREAM_TEST_KAFKA"
	envPostgres = "TOLLSTREAM_TEST_POSTGRES"
	envRedis    = "TOLLSTREAM_TEST_REDIS"
	envName     = "TOLLSTREAM_SERVERS" // of the set of servers, to find their processes
	envCache    = "TOLLSTREAM_CACHE"
)

// redisDatabase is the last of those that deploy/servers/servers sets up, which tests reach last.
const redisDatabase = "/511"

// corner is the benchmarks' part of the servers: databases and topics of their own, removed at the end.
type corner struct {
	kafka    []string
	bare     []string // brokers of what is compared with a server that has a broker of its own, when kafka is empty
	postgres string   // of the server
	redis    string   // URL of a database that is emptied
	state    string   // directory with the servers' process numbers, "": unknown
	name     string
	data     string // directory of a server's own files

	databases []string
	topics    []string
}

func openCorner(context.Context) (*corner, error) {
	c := &corner{
		postgres: os.Getenv(envPostgres), redis: os.Getenv(envRedis), name: "b" + strings.ToLower(rand.Text()[:10]),
	}
	brokers := os.Getenv(envKafka)
	if brokers == "" || c.postgres == "" || c.redis == "" {
		return nil, errors.New("no servers: run `make bench`, or `deploy/servers/servers start` and source the file that it names")
	}
	c.kafka = strings.Split(brokers, ",")
	view, err := url.Parse(c.redis)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", envRedis, err)
	}
	view.Path = redisDatabase
	c.redis = view.String()
	if c.data, err = os.MkdirTemp("", "tollstream-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
	}
	if cache := os.Getenv(envCache); cache != "" {
		c.state = cache + "/servers/" + os.Getenv(envName)
	}
	return c, nil
}

// database makes an empty database with the schema and returns its URL.
func (c *corner) database(ctx context.Context) (string, error) {
	u, err := url.Parse(c.postgres)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", envPostgres, err)
	}
	name := fmt.Sprintf("%s_%d", c.name, len(c.databases))
	if err := c.execute(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	c.databases = append(c.databases, name)
	u.Path = "/" + name
	return u.String(), schema.Migrate(ctx, u.String())
}

func (c *corner) execute(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.postgres)
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// retention of the topics: what the server demands. They are deleted at the end of a run.
const retention = 45 * 24 * time.Hour

const maxTries = 50

// pair makes two topics with the settings that tollstream demands of `usage` and `rated`.
func (c *corner) pair(ctx context.Context, a, b string, partitions int) error {
	config := rkafka.Config{Brokers: c.kafka, Usage: a, Rated: b, Log: quiet()}
	c.topics = append(c.topics, a, b)
	for tries := 0; ; tries++ {
		_, err := rkafka.Prepare(ctx, config, rkafka.Settings{Partitions: partitions, Retention: retention})
		// A broker may not know for a moment what was created just now.
		if tries == maxTries || !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush empties the corner of Redis: what an earlier server showed there is not to be met by the next one.
func (c *corner) flush(ctx context.Context) error {
	options, err := redis.ParseURL(c.redis)
	if err != nil {
		return fmt.Errorf("read %s: %w", envRedis, err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	if err := client.FlushDB(ctx).Err(); err != nil {
		return fmt.Errorf("empty the Redis database %d: %w", options.DB, err)
	}
	return nil
}

// vacant refuses servers that somebody else's `usage` stands on.
func (c *corner) vacant(ctx context.Context) error {
	return c.administer(func(admin *kadm.Client) error {
		topics, err := admin.ListTopics(ctx, rkafka.UsageTopic, rkafka.RatedTopic)
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		for _, t := range topics {
			if t.Err == nil {
				return fmt.Errorf("there is a topic %s on these servers already: give the benchmarks a set of their own (%s=bench deploy/servers/servers start)", t.Topic, envName)
			}
		}
		return nil
	})
}

func (c *corner) administer(do func(*kadm.Client) error) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.kafka...))
	if err != nil {
		return fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}

// clean removes what has been made so far: the next measure starts with empty servers.
func (c *corner) clean() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var errs []error
	for _, name := range c.databases {
		errs = append(errs, c.execute(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"))
	}
	errs = append(errs, c.flush(ctx))
	if len(c.topics) > 0 {
		errs = append(errs, c.administer(func(admin *kadm.Client) error {
			_, err := admin.DeleteTopics(ctx, c.topics...)
			return err
		}))
	}
	c.topics = nil
	return errors.Join(errs...)
}

func (c *corner) close() {
	if err := errors.Join(c.clean(), os.RemoveAll(c.data)); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}
