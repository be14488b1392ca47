// Package freeport finds ports on 127.0.0.1 for servers that are started later, or stopped and started again on the same port.
//
// It imports nothing of tollstream. Invariant: nobody else is given a port that Address has returned as long as this process lives: no
// listener that takes any port, no outgoing connection, no caller of this package in another process.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
)

// Address returns a free 127.0.0.1:port. Connections to it are refused until somebody listens there, as net.Listen does, and
// whenever nobody does any more.
func Address() (string, error) {
	for range 200 {
		port := 10_000 + rand.IntN(5000)
		if reserve(port) == nil {
			return fmt.Sprintf("127.0.0.1:%d", port), nil
		}
	}
	return "", errors.New("no free port between 10000 and 15000")
}

// reserve binds a socket that never listens and is never closed. Without SO_REUSEADDR it gets a port that nobody is bound to; with
// the option, set afterwards, it lets those in beside it that set it too: every listener of Go, none that takes any port.
func reserve(port int) error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = syscall.Bind(socket, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if err == nil {
		err = syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	}
	if err != nil {
		return errors.Join(err, syscall.Close(socket))
	}
	return nil
}
