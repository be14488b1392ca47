package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

// serveCommand makes this program a tollstream server instead: the HTTP figures are of a process that does nothing else.
const serveCommand = "serve"

// serverSettings are what the benchmark tells its server, as JSON in the server's standard input.
type serverSettings struct {
	DataDir    string
	Kafka      []string // none: embedded
	Postgres   string
	Redis      string
	Partitions int
	Roles      []server.Role
	Profile    string // file of a CPU profile, "": none
	Bare       string // topic of a bare handler, which the program is instead; "": a server
}

// serverReady is what the server answers, a line on its standard output.
type serverReady struct{ Address, Key string }

// serve runs the server until it is told to stop.
func serve(in io.Reader, out io.Writer) error {
	var s serverSettings
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if s.Profile != "" {
		f, err := os.Create(s.Profile)
		if err != nil {
			return fmt.Errorf("create the profile: %w", err)
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fmt.Errorf("start the profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	if s.Bare != "" {
		return serveBare(ctx, s, out)
	}
	return server.Run(ctx, server.Config{
		DataDir: s.DataDir, HTTPAddr: "127.0.0.1:0", Kafka: s.Kafka, Postgres: s.Postgres, Redis: s.Redis, Partitions: s.Partitions,
		Version: "bench", Roles: s.Roles, Log: quiet(),
		Ready: func(address, key string) { _ = json.NewEncoder(out).Encode(serverReady{address, key}) },
	})
}

// site is a running server and a client of it.
type site struct {
	address string
	key     string
	process *exec.Cmd
	client  *http.Client
}

// startSite starts a server; key is that of an earlier one on the same stores, "" the first time.
func startSite(ctx context.Context, s serverSettings, key string) (*site, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	settings, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the server's settings: %w", err)
	}
	p := exec.CommandContext(ctx, program, serveCommand)
	p.Stdin, p.Stderr = bytes.NewReader(settings), os.Stderr
	p.Cancel = func() error { return p.Process.Signal(syscall.SIGTERM) }
	p.WaitDelay = 30 * time.Second
	out, err := p.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := p.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready serverReady
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		return nil, fmt.Errorf("the server did not start: %w", errors.Join(err, p.Process.Kill(), p.Wait()))
	}
	if ready.Key == "" {
		ready.Key = key
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	return &site{address: "http://" + ready.Address, key: ready.Key, process: p, client: &http.Client{Transport: transport}}, nil
}

func (s *site) stop() error {
	s.client.CloseIdleConnections()
	return errors.Join(s.process.Process.Signal(syscall.SIGTERM), s.process.Wait())
}

// call sends a request and returns the answer's body; another status than 2xx is an error.
func (s *site) call(ctx context.Context, method, path, contentType string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.address+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, text[:min(len(text), 500)])
	}
	return text, nil
}

// define applies the catalogue through the API.
func (s *site) define(ctx context.Context, accounts []string) error {
	for b, err := range documents(accounts) {
		if err != nil {
			return err
		}
		if _, err := s.call(ctx, http.MethodPut, "/v1/catalog", "application/json", b); err != nil {
			return err
		}
	}
	return nil
}

// metric reads one of the server's metrics.
func (s *site) metric(ctx context.Context, name string) (float64, error) {
	text, err := s.call(ctx, http.MethodGet, "/metrics", "", nil)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, fmt.Errorf("the server has no metric %s", name)
}
