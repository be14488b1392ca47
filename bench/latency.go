package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tollstream/tollstream/bench/result"
	"github.com/tollstream/tollstream/cmd/tollstream/server"
	rkafka "github.com/tollstream/tollstream/rater/kafka"
)

// linesRequest is how many events a request of the load and of the ingest figure holds.
const linesRequest = 1000

// lines writes n events of a stream as NDJSON.
func lines(s *stream, n int) []byte {
	var b strings.Builder
	for range n {
		e := s.event()
		fmt.Fprintf(&b, `{"id":%q,"source":%q,"account":%q,"product":%q,"time":%q,"quantity":"2.5","attributes":{"region":"eu-central-1"}}`+"\n",
			e.ID, e.Source, e.Account, e.Product, time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano))
	}
	return []byte(b.String())
}

// siteSettings prepare stores for a server.
func (c *corner) siteSettings(ctx context.Context, s settings, roles ...server.Role) (serverSettings, error) {
	out := serverSettings{Kafka: c.kafka, Redis: c.redis, Partitions: s.Partitions, Roles: roles, DataDir: c.data}
	if len(c.kafka) > 0 {
		if err := c.vacant(ctx); err != nil {
			return out, err
		}
		if err := c.pair(ctx, rkafka.UsageTopic, rkafka.RatedTopic, s.Partitions); err != nil {
			return out, err
		}
	}
	if err := c.flush(ctx); err != nil {
		return out, err
	}
	var err error
	out.Postgres, err = c.database(ctx)
	return out, err
}

// flooders is how many clients send at once what is to be too much, or the load beside the probes.
const flooders = 32

// probeAccounts take the probes in turn, so that no probe meets the invoice of the one before.
const probeAccounts = 50

func probeID(i int) string { return fmt.Sprintf("probe-%03d", i%probeAccounts) }

// measureLatency times single events from the answer that accepts them to the first answer of the live invoice that has
// them, without other usage and beside a steady load.
func measureLatency(ctx context.Context, c *corner, s settings, out *report) error {
	settings, err := c.siteSettings(ctx, s, server.RoleAPI, server.RoleRater)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	site, err := startSite(ctx, settings, "")
	if err != nil {
		return err
	}
	defer func() { out.warn(site.stop()) }()
	accounts := accountIDs(s.Accounts)
	probes := make([]string, probeAccounts)
	for i := range probes {
		probes[i] = probeID(i)
	}
	if err := site.define(ctx, append(accounts, probes...)); err != nil {
		return err
	}
	p := &prober{site: site, seen: map[string]int64{}}
	if _, err := p.probe(ctx, 2*probeAccounts, 0); err != nil { // warms up
		return err
	}
	idle, err := p.probe(ctx, s.Probes, 20*time.Millisecond)
	if err != nil {
		return err
	}
	out.add(latencies("event accepted → live invoice, idle", "p99 ≤ 30 ms", idle, "probes of one event, one after another, 20 ms apart")...)
	usage := &stream{accounts: accounts, start: time.Now().Add(-time.Hour).UnixNano()}
	most, err := p.flood(ctx, usage, s.Requests)
	if err != nil {
		return err
	}
	half := min(max(1, int(most/2)), s.Load)
	loading, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	load := &steady{site: site, stream: usage, perSecond: half}
	wait.Go(func() { load.run(loading) })
	busy, err := func() ([]float64, error) {
		defer wait.Wait()
		defer stop()
		if _, err := p.probe(ctx, probeAccounts, 20*time.Millisecond); err != nil {
			return nil, err
		}
		return p.probe(ctx, s.Probes, 20*time.Millisecond)
	}()
	if err != nil {
		return err
	}
	if load.failed != nil {
		return fmt.Errorf("load: %w", load.failed)
	}
	out.add(latencies("event accepted → live invoice, loaded", "p99 ≤ 250 ms at half the maximum", busy,
		fmt.Sprintf("beside %.0f events/s that were accepted; without a pause %.0f events/s were accepted and shown, half of that asked for",
			load.speed(), most))...)
	return nil
}

// flood sends requests without a pause and returns how many events a second were accepted and then shown on the invoices.
func (p *prober) flood(ctx context.Context, usage *stream, requests int) (float64, error) {
	bodies := make([][]byte, requests)
	for i := range bodies {
		bodies[i] = lines(usage, linesRequest)
	}
	began := time.Now()
	if err := p.site.sendAll(ctx, bodies, flooders); err != nil {
		return 0, err
	}
	if _, err := p.probe(ctx, probeAccounts, 0); err != nil { // they come behind it on every partition
		return 0, err
	}
	return float64(requests*linesRequest) / time.Since(began).Seconds(), nil
}

func latencies(name, goal string, samples []float64, note string) []measure {
	m := measured(name, "ms", samples)
	m.Samples = nil // hundreds
	p99 := m
	p99.Name, p99.Median = name+", p99", result.Quantile(samples, 0.99)
	m.Name = name + ", p50"
	return []measure{m.note("%s", note), p99.goal(goal)}
}

// prober sends single events and looks for them.
type prober struct {
	site *site
	sent int
	seen map[string]int64 // events on the probe accounts' invoices
}

// probe sends n events with pauses and returns how many milliseconds each took to be seen.
func (p *prober) probe(ctx context.Context, n int, pause time.Duration) ([]float64, error) {
	var took []float64
	for range n {
		account := probeID(p.sent)
		body := fmt.Sprintf(`{"id":"probe-%d","source":"bench","account":%q,"product":"calls","quantity":1}`, p.sent, account)
		p.sent++
		if _, err := p.site.call(ctx, http.MethodPost, "/v1/usage", "application/json", []byte(body)); err != nil {
			return nil, err
		}
		accepted := time.Now()
		p.seen[account]++
		for {
			events, err := p.events(ctx, account)
			if err != nil {
				return nil, err
			}
			if events == p.seen[account] {
				break
			}
			if time.Since(accepted) > 20*time.Second {
				return nil, fmt.Errorf("probe %d is not on the invoice of %s after 20 s: %d events of %d", p.sent, account, events, p.seen[account])
			}
		}
		took = append(took, float64(time.Since(accepted))/float64(time.Millisecond))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return took, nil
}

// events counts what is on the account's invoice.
func (p *prober) events(ctx context.Context, account string) (n int64, err error) {
	text, err := p.site.call(ctx, http.MethodGet, "/v1/accounts/"+account+"/invoice", "", nil)
	if err != nil {
		return 0, err
	}
	var invoice struct {
		Lines []struct {
			Events int64 `json:"events"`
		} `json:"lines"`
	}
	if err := json.Unmarshal(text, &invoice); err != nil {
		return 0, fmt.Errorf("read the invoice of %s: %w", account, err)
	}
	for _, l := range invoice.Lines {
		n += l.Events
	}
	return n, nil
}

// steady sends requests of 1,000 events at a steady pace, one of each client at a time; a request that none has time for is left out.
type steady struct {
	site      *site
	stream    *stream
	perSecond int
	failed    error

	accepted int
	began    time.Time
	ended    time.Time
}

func (l *steady) run(ctx context.Context) {
	// A request under way when the load ends is finished.
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan []byte)
	var wait sync.WaitGroup
	for range flooders {
		wait.Go(func() {
			for body := range work {
				if err := l.site.send(context.WithoutCancel(ctx), body); err != nil {
					stop(err)
				}
			}
		})
	}
	ticker := time.NewTicker(time.Second * linesRequest / time.Duration(l.perSecond))
	defer ticker.Stop()
	l.began = time.Now()
	defer func() {
		close(work)
		wait.Wait()
		l.ended = time.Now()
		if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
			l.failed = err
		}
	}()
	body := lines(l.stream, linesRequest)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		select {
		case work <- body:
			l.accepted += linesRequest
			body = lines(l.stream, linesRequest)
		default:
		}
	}
}

func (l *steady) speed() float64 { return float64(l.accepted) / l.ended.Sub(l.began).Seconds() }
