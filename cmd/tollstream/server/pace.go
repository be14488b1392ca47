package server

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/invoicer"
)

// pace answers what forecasts go by from memory. A live invoice is asked for many times a second, and its forecast is all of it that rests on
// the report store, which sums an account's days in a time that grows with the month and may not answer at all: so the store is asked
// every quarter of a minute at most for a question, beside the request, and the request waits for a moment only.
type pace struct {
	reports invoicer.DailyCharges
	known   *memo[dailyKey, []invoicer.DayCharge]

	mu    sync.Mutex
	asked map[dailyKey]chan struct{} // closed when the store has answered or failed
}

// dailyKey is an invoicer.DailyQuery that can be compared.
type dailyKey struct {
	billed, accounts, zone string
	from, to               int64
}

const (
	paceFor      = 15 * time.Second       // how long an answer is given without asking again
	paceWait     = 100 * time.Millisecond // what an invoice waits for its forecast, once a question
	pacePatience = 30 * time.Second       // of a question to the store
	maxPaces     = 8                      // questions to the store at a time
)

func newPace(reports invoicer.DailyCharges, now func() time.Time) *pace {
	return &pace{reports: reports, known: newMemo[dailyKey, []invoicer.DayCharge](now, paceFor), asked: map[dailyKey]chan struct{}{}}
}

// DailyCharges implements invoicer.DailyCharges.
func (p *pace) DailyCharges(ctx context.Context, q invoicer.DailyQuery) ([]invoicer.DayCharge, error) {
	key := dailyKey{q.Billed, strings.Join(q.Accounts, " "), q.Zone.String(), q.From.UnixNano(), q.To.UnixNano()}
	charges, known, fresh := p.known.peek(key)
	if fresh {
		return charges, nil
	}
	answered, first := p.ask(ctx, key, q)
	if first && !known {
		select {
		case <-answered:
			charges, known, _ = p.known.peek(key)
		case <-time.After(paceWait):
		case <-ctx.Done():
		}
	}
	if !known {
		return nil, fmt.Errorf("%w: the report store has not told the days of %s yet", api.ErrUnavailable, q.Billed)
	}
	return charges, nil
}

// ask lets the store be asked, unless it is already, or is busy enough; only who asked first is to wait.
func (p *pace) ask(ctx context.Context, key dailyKey, q invoicer.DailyQuery) (answered <-chan struct{}, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.asked[key]; ok || len(p.asked) >= maxPaces {
		return nil, false
	}
	done := make(chan struct{})
	p.asked[key] = done
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pacePatience)
		defer cancel()
		_, _ = p.known.get(ctx, key, func(ctx context.Context) ([]invoicer.DayCharge, error) { return p.reports.DailyCharges(ctx, q) }) // an invoice is complete without
		p.mu.Lock()
		delete(p.asked, key)
		p.mu.Unlock()
		close(done)
	}()
	return done, true
}
