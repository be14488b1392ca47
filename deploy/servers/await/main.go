// Command await returns when test servers answer their own protocols; a port
// that is open says too little. It takes the names that deploy/servers uses and
// the addresses of deploy/teststores' variables. deploy/servers calls it after a
// start.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/deploy/teststores"
)

const (
	giveUpAfter = 4 * time.Minute // other tests may keep the machine busy; a server that has ended is noticed at once
	tryFor      = 5 * time.Second
	tryEvery    = 100 * time.Millisecond
)

// servers says for each where it is and how it is asked.
var servers = map[string]struct {
	env string
	ask func(ctx context.Context, address string) error
}{
	"postgres":           {teststores.EnvPostgres, askPostgres},
	"redis":              {teststores.EnvRedis, askRedis},
	"kafka":              {teststores.EnvKafka, askKafka},
	"clickhouse":         {teststores.EnvClickHouse, askClickHouse},
	"clickhouse-current": {teststores.EnvClickHouseCurrent, askClickHouse},
	"ftp":                {teststores.EnvFTP, askGreeting},
	"ftps":               {teststores.EnvFTPS, askTLS},
	"sftp":               {teststores.EnvSFTP, askGreeting},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, giveUpAfter)
	defer cancel()
	results := make(chan error)
	for _, name := range os.Args[1:] {
		go func() { results <- await(ctx, name) }()
	}
	var errs []error
	for range os.Args[1:] {
		errs = append(errs, <-results)
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// await asks one server until it answers.
func await(ctx context.Context, name string) error {
	s, known := servers[name]
	if !known {
		return fmt.Errorf("no server is called %q", name)
	}
	tick := time.NewTicker(tryEvery)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, tryFor)
		err := s.ask(try, os.Getenv(s.env))
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
	}
}

func askPostgres(ctx context.Context, address string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

func askRedis(ctx context.Context, address string) error {
	opts, err := redis.ParseURL(address)
	if err != nil {
		return err
	}
	c := redis.NewClient(opts)
	return errors.Join(c.Ping(ctx).Err(), c.Close())
}

func askKafka(ctx context.Context, address string) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(address, ",")...))
	if err != nil {
		return err
	}
	defer c.Close()
	brokers, err := kadm.NewClient(c).ListBrokers(ctx)
	if err == nil && len(brokers) == 0 {
		err = errors.New("no broker has joined yet")
	}
	return err
}

func askClickHouse(ctx context.Context, address string) error {
	opts, err := clickhouse.ParseDSN(address)
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close())
}

// askGreeting waits for the line with which servers of files begin.
func askGreeting(ctx context.Context, address string) error {
	return greeted(ctx, address, (&net.Dialer{}).DialContext)
}

func askTLS(ctx context.Context, address string) error {
	return greeted(ctx, address, (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext)
}

func greeted(ctx context.Context, address string, dial func(ctx context.Context, network, address string) (net.Conn, error)) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	conn, err := dial(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = conn.SetDeadline(deadline)
	}
	if err == nil {
		_, err = bufio.NewReader(conn).ReadString('\n')
	}
	return errors.Join(err, conn.Close())
}
