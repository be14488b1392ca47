package freeport

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

func TestAddress(t *testing.T) {
	address, err := Address()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // a server that is started again and again
		if c, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("nobody listens: %v, %v", c, err)
		}
		if err := reserve(number); !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatalf("another caller is given the port: %v", err)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		// The server's end first: its port is left in TIME_WAIT.
		if err := errors.Join(accepted.Close(), c.Close(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
