package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// ports are remembered in DataDir/ports.json so that a client outside of the
// process finds the stores again after a restart. It is a courtesy: a port that
// somebody else took meanwhile is given up, and an unreadable file is ignored.
type ports struct {
	Kafka    int `json:"kafka,omitempty"`
	Postgres int `json:"postgres,omitempty"`
	Redis    int `json:"redis,omitempty"`
}

func readPorts(dir string) ports {
	var p ports
	text, err := os.ReadFile(filepath.Join(dir, "ports.json"))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return ports{}
	}
	return p
}

func writePorts(dir string, p ports) error {
	if p == readPorts(dir) {
		return nil
	}
	text, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "ports.json"), append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("remember the ports: %w", err)
	}
	return nil
}

// withPort calls listen with the wanted port and, if that one is taken or none
// is wanted, with 0.
func withPort(want int, listen func(port int) error) error {
	if want != 0 {
		if err := listen(want); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return listen(0)
}

// freePort returns want if it is free, else any free port. Another process can
// take it before it is used; callers try again.
func freePort(want int) (int, error) {
	var got int
	err := withPort(want, func(port int) error {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		got = l.Addr().(*net.TCPAddr).Port
		return l.Close()
	})
	return got, err
}

func portOf(addr string) int {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(port)
	return n
}
