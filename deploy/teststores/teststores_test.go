package teststores_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/deploy/teststores"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// probe stands for a test whose end can be awaited and whose verdict is kept
// from the real one.
type probe struct {
	testing.TB
	verdict string
}

func (p *probe) Helper() {}
func (p *probe) Fatalf(string, ...any) {
	p.verdict = "failed"
	panic(p)
}
func (p *probe) Skipf(string, ...any) {
	p.verdict = "skipped"
	panic(p)
}

func TestMissingServer(t *testing.T) {
	for ci, want := range map[string]string{"true": "failed", "": "skipped", "false": "skipped"} {
		t.Run("CI="+ci, func(t *testing.T) {
			t.Setenv("CI", ci)
			t.Setenv(teststores.EnvKafka, "")
			p := &probe{TB: t}
			func() {
				defer func() { _ = recover() }()
				teststores.Kafka(p)
			}()
			if p.verdict != want {
				t.Errorf("the test %q, want %q", p.verdict, want)
			}
		})
	}
}

func TestPostgres(t *testing.T) {
	var url string
	t.Run("during", func(t *testing.T) {
		ctx := soon(t)
		url = teststores.Postgres(t)
		if other := teststores.Postgres(t); other == url {
			t.Errorf("the same database twice: %s", url)
		}
		conn, err := pgx.Connect(ctx, url)
		check(t, err)
		_, err = conn.Exec(ctx, `CREATE TABLE t (n int)`)
		check(t, err) // the connection stays open: the drop must cope
	})
	if url == "" {
		return
	}
	if conn, err := pgx.Connect(soon(t), url); err == nil {
		t.Errorf("the database is still there")
		check(t, conn.Close(soon(t)))
	}
}

func TestRedis(t *testing.T) {
	var url string
	t.Run("during", func(t *testing.T) {
		ctx := soon(t)
		var prefix string
		url, prefix = teststores.Redis(t)
		other, otherPrefix := teststores.Redis(t)
		if url == other || prefix == otherPrefix {
			t.Errorf("twice the same: %s %s", url, prefix)
		}
		check(t, connectRedis(t, url).Set(ctx, prefix+"a", "1", 0).Err())
		if n := connectRedis(t, other).DBSize(ctx).Val(); n != 0 {
			t.Errorf("%d keys in the other database", n)
		}
	})
	if url == "" {
		return
	}
	if n, err := connectRedis(t, url).DBSize(soon(t)).Result(); err != nil || n != 0 {
		t.Errorf("%d keys are left, %v", n, err)
	}
}

func connectRedis(t *testing.T, url string) *redis.Client {
	t.Helper()
	opts, err := redis.ParseURL(url)
	check(t, err)
	c := redis.NewClient(opts)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestKafka(t *testing.T) {
	var brokers []string
	var topic string
	t.Run("during", func(t *testing.T) {
		ctx := soon(t)
		brokers = teststores.Kafka(t)
		topic = teststores.Topic(t, brokers, 3, map[string]string{"retention.ms": "-1"})
		c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ProducerBatchMaxBytes(8<<20))
		check(t, err)
		t.Cleanup(c.Close)
		// What the broker must be set to: 8 MiB, and its own clock on records.
		wrong := time.Unix(1, 0)
		sent := &kgo.Record{Topic: topic, Value: make([]byte, 7<<20), Timestamp: wrong}
		check(t, c.ProduceSync(ctx, sent).FirstErr())
		got := c.PollFetches(ctx)
		check(t, got.Err())
		r := got.Records()[0]
		if len(r.Value) != 7<<20 || r.Timestamp.Equal(wrong) || r.Attrs.TimestampType() != 1 {
			t.Errorf("%d bytes at %v, timestamp type %d, want 7 MiB and log append time", len(r.Value), r.Timestamp, r.Attrs.TimestampType())
		}
		details, err := kadm.NewClient(c).ListTopics(ctx, topic)
		check(t, err)
		if n := len(details[topic].Partitions); n != 3 {
			t.Errorf("%d partitions, want 3", n)
		}
	})
	if topic == "" {
		return
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	check(t, err)
	t.Cleanup(c.Close)
	for ctx := soon(t); ; { // the broker tells of it a moment after its controller
		topics, err := kadm.NewClient(c).ListTopics(ctx)
		if err != nil {
			t.Fatalf("topic %s is still there: %v", topic, err)
		}
		if !slices.Contains(topics.Names(), topic) {
			break
		}
	}
}

func TestClickHouse(t *testing.T) {
	for name, database := range map[string]func(testing.TB) string{
		"18.16, native": teststores.ClickHouse, "current, HTTP": teststores.ClickHouseCurrent,
	} {
		t.Run(name, func(t *testing.T) {
			var url string
			t.Run("during", func(t *testing.T) {
				ctx := soon(t)
				url = database(t)
				conn := connectClickHouse(t, url)
				check(t, conn.Exec(ctx, `CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n`))
				batch, err := conn.PrepareBatch(ctx, `INSERT INTO t (n, s) VALUES`)
				check(t, err)
				for n := range uint64(1000) {
					check(t, batch.Append(n, strings.Repeat("x", int(n%7))))
				}
				check(t, batch.Send())
				var sum uint64
				check(t, conn.QueryRow(ctx, `SELECT sum(n) FROM t`).Scan(&sum))
				if sum != 499500 {
					t.Errorf("sum %d, want 499500", sum)
				}
			})
			if url == "" {
				return
			}
			if err := connectClickHouse(t, url).Exec(soon(t), `SELECT 1 FROM t`); err == nil {
				t.Errorf("the database is still there")
			}
		})
	}
}

func connectClickHouse(t *testing.T, url string) clickhouse.Conn {
	t.Helper()
	opts, err := clickhouse.ParseDSN(url)
	check(t, err)
	conn, err := clickhouse.Open(opts)
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
