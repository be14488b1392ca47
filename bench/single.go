package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
	ckafka "github.com/tollstream/tollstream/collector/kafka"
)

// singleClients send one event a request, each the next one when it has the answer.
const singleClients = 64

// measureSingle sends single events to a server that only takes them in, and the same bodies to a bare handler in a process of
// its own, that writes each as a record and answers when the broker has it. They take turns.
func measureSingle(ctx context.Context, c *corner, s settings, out *report) error {
	settings, err := c.siteSettings(ctx, s, server.RoleAPI)
	if err != nil {
		return err
	}
	if s.Profile != "" {
		settings.Profile = s.Profile + ".single"
	}
	defer func() { out.warn(c.clean()) }()
	site, err := startSite(ctx, settings, "")
	if err != nil {
		return err
	}
	defer func() { out.warn(site.stop()) }()
	accounts := accountIDs(s.Accounts)
	if err := site.define(ctx, accounts); err != nil {
		return err
	}
	handler, stop, err := startBare(ctx, c, s)
	if err != nil {
		return err
	}
	defer func() { out.warn(stop()) }()

	source := &stream{accounts: accounts, start: time.Now().Add(-time.Hour).UnixNano()}
	for range (s.Accounts + linesRequest - 1) / linesRequest { // the server looks each account up once
		if err := site.send(ctx, lines(source, linesRequest)); err != nil {
			return err
		}
	}
	subjects := []*singleFigures{{site: site, want: []byte(`"accepted":1`)}, {site: handler}}
	for round := range s.Rounds + 1 {
		bodies := make([][]byte, s.Singles)
		for i := range bodies {
			bodies[i] = lines(source, 1)
		}
		for i := range subjects {
			if err := awaitCalm(ctx, s.Patience); err != nil {
				return err
			}
			if err := subjects[(i+round)%len(subjects)].round(ctx, bodies, round > 0); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
	}
	ours, bare := subjects[0], subjects[1]
	const name = "single events, 64 clients"
	out.add(
		measured(name+": ratio to a bare handler", "ratio", ratios(ours.speed, bare.speed)).goal("≥ 0.5").
			note("the bare handler reads the body and writes it as one record, with the same client of the broker, in a process of its own; the clients share the machine"),
		measured(name+": accepted", "events/s", ours.speed),
		measured(name+": bare handler", "events/s", bare.speed),
		measured(name+": processor of the server", "µs/event", ours.cpu),
		measured(name+": processor of the bare handler", "µs/event", bare.cpu),
		measured(name+": allocations of the server", "1/event", ours.allocations),
		measured(name+": allocations of the bare handler", "1/event", bare.allocations),
	)
	return nil
}

// singleFigures are of one of the two servers.
type singleFigures struct {
	site                    *site
	want                    []byte // in every answer
	speed, cpu, allocations []float64
}

func (f *singleFigures) round(ctx context.Context, bodies [][]byte, counts bool) error {
	cpu, allocations, err := f.site.cost(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := f.sendAll(ctx, bodies); err != nil {
		return err
	}
	took := time.Since(began)
	cpuAfter, allocationsAfter, err := f.site.cost(ctx)
	if err != nil || !counts {
		return err
	}
	events := float64(len(bodies))
	f.speed = append(f.speed, events/took.Seconds())
	f.cpu = append(f.cpu, (cpuAfter-cpu)*1e6/events)
	f.allocations = append(f.allocations, (allocationsAfter-allocations)/events)
	return nil
}

func (f *singleFigures) sendAll(ctx context.Context, bodies [][]byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range singleClients {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(bodies)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				text, err := f.site.call(ctx, http.MethodPost, "/v1/usage", "application/json", bodies[i])
				if err == nil && !bytes.Contains(text, f.want) {
					err = fmt.Errorf("event %d: %s", i, text[:min(len(text), 500)])
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

// startBare starts the bare handler with a topic of its own.
func startBare(ctx context.Context, c *corner, s settings) (handler *site, stop func() error, err error) {
	own := &corner{kafka: c.kafka, postgres: c.postgres, redis: c.redis, name: c.name + "-bare"}
	if len(own.kafka) == 0 {
		own.kafka = c.bare
	}
	topic := own.name + "-usage"
	if err := own.pair(ctx, topic, own.name+"-rated", s.Partitions); err != nil {
		return nil, nil, errors.Join(err, own.clean())
	}
	if handler, err = startSite(ctx, serverSettings{Kafka: own.kafka, Bare: topic}, "none"); err != nil {
		return nil, nil, errors.Join(err, own.clean())
	}
	return handler, func() error { return errors.Join(handler.stop(), own.clean()) }, nil
}

// serveBare is a server whose handler writes each body as a record of a topic, with the producer of the collector, and answers
// when it is acknowledged.
func serveBare(ctx context.Context, s serverSettings, out io.Writer) error {
	producer, err := ckafka.New(ctx, ckafka.Config{Brokers: s.Kafka, Topic: s.Bare, Log: quiet()})
	if err != nil {
		return err
	}
	defer producer.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var turn atomic.Int64
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("POST /v1/usage", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			done := make(chan error, 1)
			producer.Produce(int32(turn.Add(1)%int64(producer.Partitions())), body, func(err error) { done <- err })
			err = <-done
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = h.Close()
	}()
	if err := json.NewEncoder(out).Encode(serverReady{Address: listener.Addr().String()}); err != nil {
		return fmt.Errorf("say where the handler is: %w", err)
	}
	if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
