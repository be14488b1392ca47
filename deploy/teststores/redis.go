package teststores

import (
	"context"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Redis returns the URL of an empty database number of this test, and a prefix
// for what the server has only once, such as channels. The test may FLUSHDB but
// not FLUSHALL.
func Redis(t testing.TB) (url, prefix string) {
	t.Helper()
	server := need(t, EnvRedis)
	opts, err := redis.ParseURL(server)
	if err != nil {
		t.Fatalf("%s: %v", EnvRedis, err)
	}
	ctx := bounded(t)
	c := redis.NewClient(opts)
	defer func() { _ = c.Close() }()
	settings, err := c.ConfigGet(ctx, "databases").Result()
	if err != nil {
		t.Fatalf("ask redis for its databases: %v", err)
	}
	databases, err := strconv.ParseInt(settings["databases"], 10, 64)
	if err != nil || databases < 2 {
		t.Fatalf("redis has %q databases, tests need 2 or more", settings["databases"])
	}
	// Database 0 keeps the counter; the others are handed out in turn.
	n, err := c.Incr(ctx, "tollstream:teststores").Result()
	if err != nil {
		t.Fatalf("take a redis database: %v", err)
	}
	opts.DB = 1 + int(n%(databases-1))
	if err := flush(ctx, opts); err != nil {
		t.Fatalf("empty redis database %d: %v", opts.DB, err)
	}
	afterwards(t, "empty the redis database", func(ctx context.Context) error { return flush(ctx, opts) })
	return "redis://" + opts.Addr + "/" + strconv.Itoa(opts.DB), unique() + ":"
}

func flush(ctx context.Context, opts *redis.Options) error {
	c := redis.NewClient(opts)
	defer func() { _ = c.Close() }()
	return c.FlushDB(ctx).Err()
}
