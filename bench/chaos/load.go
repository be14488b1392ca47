package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// The load. Every line of every invoice is compared after each round, so there are not many accounts.
const (
	accounts   = 40
	clients    = 4
	batchSize  = 20
	oldBatches = 200 // of the last ones, some of which are sent again
)

// load is a number of clients that send usage until it is acknowledged, and keep the book.
type load struct {
	api      *drive.Caller
	rate     int
	patience time.Duration

	mu      sync.Mutex
	random  *rand.Rand
	traffic *drive.Traffic
	old     []drive.Batch
	edges   []*edge // whose fate the log has not told yet
	book    book
}

// book is what has to come of the acknowledged usage.
type book struct {
	bills      *oracle.Book
	events     int               // that have to be rated
	edges      int               // of them and of the rejected ones: those that the log's clock decided on
	duplicates int               // sent on purpose
	repeats    int               // because the answer was none, or no
	refusals   int               // times that such were sent which are rejected whatever the clocks say
	rejected   map[string]string // reasons by id
	counted    drive.Counts      // by reconcile, last
}

func newLoad(s *settings, api *drive.Caller) *load {
	random := rand.New(rand.NewPCG(s.Seed, 0)) //nolint:gosec // a stream that can be repeated
	t := drive.NewTraffic(random, accounts)
	return &load{
		api: api, rate: s.Rate, patience: s.patience, random: random, traffic: t, book: book{bills: oracle.NewBook(t.RatesOf), rejected: map[string]string{}},
	}
}

// catalog is the document of the traffic, with the account of the edges.
func (l *load) catalog() map[string]any {
	d := l.traffic.Catalog()
	d["accounts"] = append(d["accounts"].([]any), map[string]any{"id": edgeAccount, "currency": "EUR", "time_zone": "UTC"}) //nolint:forcetypeassert // ours
	return d
}

// begin sends at the rate until finish is called, then a little more as fast as it goes; finish returns when all is acknowledged.
func (l *load) begin(ctx context.Context) (finish func() error) {
	steady, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	errs := make([]error, clients)
	for i := range clients {
		wait.Go(func() {
			every := time.NewTicker(time.Second * clients * batchSize / time.Duration(l.rate))
			defer every.Stop()
			for more := 3; more > 0 && errs[i] == nil; {
				select {
				case <-every.C:
				case <-steady.Done():
					more--
				}
				errs[i] = l.step(ctx)
			}
		})
	}
	return func() error {
		stop()
		wait.Wait()
		errs = append(errs, l.refused(ctx))
		return errors.Join(errs...)
	}
}

// step sends one batch, and now and then the same again or an old one.
func (l *load) step(ctx context.Context) error {
	l.mu.Lock()
	batch, uses := l.traffic.Next(1 + l.random.IntN(2*batchSize-1))
	var again *drive.Batch
	var sometimes *edge
	if l.random.IntN(8) == 0 {
		sometimes = l.newEdge(time.Now())
	}
	switch l.random.IntN(10) {
	case 0:
		again = &batch
	case 1:
		if len(l.old) > 0 {
			b := oneOf(l.random, l.old...)
			again = &b
		}
	}
	l.mu.Unlock()
	if err := l.deliver(ctx, &batch); err != nil {
		return err
	}
	l.mu.Lock()
	for _, u := range uses {
		l.book.bills.Add(u)
	}
	l.book.events += len(uses)
	l.old = append(l.old[max(0, len(l.old)-oldBatches):], batch)
	l.mu.Unlock()
	if sometimes != nil {
		if err := l.sendEdge(ctx, sometimes); err != nil {
			return err
		}
	}
	if again == nil {
		return nil
	}
	if err := l.deliver(ctx, again); err != nil {
		return err
	}
	l.mu.Lock()
	l.book.duplicates += again.Events
	l.mu.Unlock()
	return nil
}

// deliver sends a batch until it is acknowledged.
func (l *load) deliver(ctx context.Context, b *drive.Batch) error {
	return repeat(ctx, l.patience, "usage is acknowledged", func() error {
		err := l.api.Post(b)
		if err != nil {
			l.mu.Lock()
			l.book.repeats++
			l.mu.Unlock()
		}
		return err
	})
}

// refused sends usage that has to be rejected whatever the servers' clocks said: they are off by minutes, these by hours and more.
func (l *load) refused(ctx context.Context) error {
	l.mu.Lock()
	n := l.book.refusals
	l.book.refusals++
	l.mu.Unlock()
	now, id := time.Now().UTC(), func(i int) string { return fmt.Sprintf("r-%d-%d", n, i) }
	event := func(i int, product string, at time.Time) map[string]any {
		return map[string]any{"id": id(i), "source": "chaos", "account": "acc-001", "product": product, "quantity": "1", "time": at.Format(time.RFC3339)}
	}
	body, err := json.Marshal([]any{
		event(0, "egress", now.Add(-36*24*time.Hour)), event(1, "egress", now.Add(3*time.Hour)), event(2, "no-such-product", l.traffic.Begin),
	})
	if err != nil {
		return err
	}
	if err := l.deliver(ctx, &drive.Batch{ContentType: "application/json", Body: body, Events: 3}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.book.rejected, map[string]string{id(0): "too_old", id(1): "too_new", id(2): "product_unknown"})
	return nil
}
