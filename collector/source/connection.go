package source

import (
	"context"
	"net"
	"time"
)

// Timeout is how long a server may say nothing before a place gives it up.
const Timeout = time.Minute

// Dialer makes connections.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Dial connects as usual, and gives a connection whose reads and writes end when nothing comes or goes for the time.
func Dial(quiet time.Duration) Dialer {
	dialer := net.Dialer{Timeout: quiet}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the address
		}
		return &timed{conn, quiet}, nil
	}
}

// timed sets a deadline before each step.
type timed struct {
	net.Conn
	quiet time.Duration
}

func (t *timed) Read(b []byte) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(t.quiet)); err != nil {
		return 0, err //nolint:wrapcheck // of the connection, as Read's own
	}
	return t.Conn.Read(b) //nolint:wrapcheck // a connection's
}

func (t *timed) Write(b []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(t.quiet)); err != nil {
		return 0, err //nolint:wrapcheck // of the connection, as Write's own
	}
	return t.Conn.Write(b) //nolint:wrapcheck // a connection's
}
