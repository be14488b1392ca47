package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

// clients send at the same time: enough that the gathering of records across requests has something to gather.
const clients = 4

// measureIngest sends requests of 1,000 events as NDJSON to a server that only takes them in, and divides the server's own
// processor time and allocations by the events.
func measureIngest(ctx context.Context, c *corner, s settings, out *report) error {
	settings, err := c.siteSettings(ctx, s, server.RoleAPI)
	if err != nil {
		return err
	}
	defer func() { out.warn(c.clean()) }()
	if s.Profile != "" {
		settings.Profile = s.Profile + ".ingest"
	}
	site, err := startSite(ctx, settings, "")
	if err != nil {
		return err
	}
	defer func() { out.warn(site.stop()) }()
	accounts := accountIDs(s.Accounts)
	if err := site.define(ctx, accounts); err != nil {
		return err
	}
	f := &ingestFigures{}
	source := &stream{accounts: accounts, start: time.Now().Add(-time.Hour).UnixNano()}
	for round := range s.Rounds + 1 {
		bodies := make([][]byte, s.Requests)
		for i := range bodies {
			bodies[i] = lines(source, linesRequest)
		}
		if err := awaitCalm(ctx, s.Patience); err != nil {
			return err
		}
		if err := f.round(ctx, site, bodies, round > 0); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	out.add(
		measured("POST /v1/usage, NDJSON of 1,000: processor of the server", "µs/event", f.cpu).goal("≤ 2.5").
			note("the server's process alone, everything that it does included: HTTP, parsing, resolving, gathering, producing; %d clients at a time", clients),
		measured("POST /v1/usage, NDJSON of 1,000: allocations", "1/event", f.allocations).goal("≤ 2"),
		measured("POST /v1/usage, NDJSON of 1,000: accepted", "events/s", f.speed).note("the clients share the machine"),
	)
	return nil
}

type ingestFigures struct{ cpu, allocations, speed []float64 }

func (f *ingestFigures) round(ctx context.Context, s *site, bodies [][]byte, counts bool) error {
	cpu, allocations, err := s.cost(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := s.sendAll(ctx, bodies, clients); err != nil {
		return err
	}
	took := time.Since(began)
	cpuAfter, allocationsAfter, err := s.cost(ctx)
	if err != nil || !counts {
		return err
	}
	events := float64(len(bodies) * linesRequest)
	f.cpu = append(f.cpu, (cpuAfter-cpu)*1e6/events)
	f.allocations = append(f.allocations, (allocationsAfter-allocations)/events)
	f.speed = append(f.speed, events/took.Seconds())
	return nil
}

// cost reads the processor time that the server has used, in seconds, and its allocations.
func (s *site) cost(ctx context.Context) (cpu, allocations float64, err error) {
	if cpu, err = s.metric(ctx, "process_cpu_seconds_total"); err != nil {
		return 0, 0, err
	}
	allocations, err = s.metric(ctx, "go_memstats_mallocs_total")
	return cpu, allocations, err
}

func (s *site) sendAll(ctx context.Context, bodies [][]byte, clients int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan []byte)
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			for body := range work {
				if err := s.send(ctx, body); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, body := range bodies {
		work <- body
	}
	close(work)
	wait.Wait()
	return context.Cause(ctx)
}

func (s *site) send(ctx context.Context, body []byte) error {
	text, err := s.call(ctx, http.MethodPost, "/v1/usage", "application/x-ndjson", body)
	if err != nil {
		return err
	}
	var answer struct {
		Accepted int `json:"accepted"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if answer.Accepted != linesRequest {
		return fmt.Errorf("%d of %d events accepted: %s", answer.Accepted, linesRequest, text[:min(len(text), 500)])
	}
	return nil
}
