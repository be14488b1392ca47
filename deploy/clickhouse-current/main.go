// Command clickhouse-current serves a current ClickHouse engine over HTTP on
// 127.0.0.1, for tests: the only server that Debian packages is 18.16, and the
// report store must work on both. deploy/servers downloads the engine and starts
// this.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/tollstream/tollstream/deploy/clickhouse-current/engine"
	"github.com/tollstream/tollstream/deploy/clickhouse-current/front"
)

func main() {
	library := flag.String("library", "", "path of libchdb.so")
	data := flag.String("data", "", "data directory")
	port := flag.Int("port", 8123, "port on 127.0.0.1")
	sessions := flag.Int("sessions", 4, "statements at the same time")
	flag.Parse()
	if err := run(*library, *data, *port, *sessions); err != nil {
		fmt.Fprintln(os.Stderr, "clickhouse-current:", err)
		os.Exit(1)
	}
}

func run(library, data string, port, sessions int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	if err := engine.Load(library); err != nil {
		return err
	}
	handler, err := front.New(data, sessions)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	fmt.Println("ready on", l.Addr())
	select {
	case err = <-ended:
	case <-ctx.Done():
		// Statements that run now are waited for: the engine must not be closed
		// under them.
		err = server.Shutdown(context.Background())
		if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
	}
	handler.Close()
	return err
}
