// Package backtest rates stored usage again under a draft of the price book and compares what it comes to with what was charged.
//
// It may import rater, what rater imports, and rater/sink; never a driver. Invariants:
//
//   - It only reads: the usage from a [sink.History], the definitions through a [Book].
//   - Usage is rated by [rater.Fold], which is what the rater itself prices with; under the definitions that it was rated under it comes
//     to the very same amounts.
//   - Usage keeps the exchange rates that it was charged with, but for those that the draft changes.
//   - A billing period is read whole, so that tiers stand where they stood, and what carries a level from its first usage on, so that the level
//     stands where it stood; what is reported is the usage inside the time asked for.
//   - Usage that the draft cannot rate is counted with its reason and with what was charged for it; it is never a price of zero unseen.
//   - Accounts that share tiers in a pool are rated together, in the order of the log, where all of them are asked for and they are not too
//     many. Else each is rated by itself, and the result says how many events that concerns.
//   - Accounts are read in the order of their ids, a share of them at a time: memory is bounded by a share and by the rows of the result,
//     which Limits bounds.
package backtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/sink"
)

// Book is the draft of the price book.
type Book interface {
	// Plans gives the accounts' plans; accounts that the draft does not have are absent. It may be asked by several goroutines, and again.
	Plans(ctx context.Context, accounts []string) (map[string]*catalog.Plan, error)
	// Tree gives the accounts below one, and itself, nil where they are more than most. It may name others.
	Tree(ctx context.Context, root string, most int) ([]string, error)
	// Over gives the definitions that the draft is laid over.
	Over() *catalog.Snapshot
}

// Query says which usage is rated again: by event time in [From, To), instants.
type Query struct {
	Account  string // who used; empty: everybody
	From, To int64
}

// Limits bound the work.
type Limits struct {
	Workers    int // that read and rate at the same time
	Activities int // in a share, unless one account has more
	Accounts   int // in a share
	Rows       int // of the result that are kept; what is summed counts all
	Top        int // accounts whose revenue changes most
	Together   int // accounts that are rated together, which stand in one question
}

// DefaultLimits suit a server with two processors.
func DefaultLimits() Limits {
	return Limits{Workers: 2, Activities: 100_000, Accounts: 1000, Rows: 200_000, Top: 20, Together: 1000}
}

// Sum is what some usage was charged and what it would have been charged.
type Sum struct {
	Events        int64
	Before        money.Decimal // as rated, adjustments included
	After         money.Decimal // under the draft, of the events that it can rate
	Unrated       int64         // events that the draft cannot rate
	UnratedBefore money.Decimal // what was charged for these
}

// Difference is After less Before.
func (s *Sum) Difference() (money.Decimal, error) { return s.After.Sub(s.Before) }

func (s *Sum) add(o *Sum) (err error) {
	s.Events, s.Unrated = s.Events+o.Events, s.Unrated+o.Unrated
	for _, part := range []struct{ to, of *money.Decimal }{{&s.Before, &o.Before}, {&s.After, &o.After}, {&s.UnratedBefore, &o.UnratedBefore}} {
		if *part.to, err = part.to.Add(*part.of); err != nil {
			return err
		}
	}
	return nil
}

// Row is the usage of a product by an account; members that it is summed over are empty.
type Row struct {
	Account  string
	Product  string
	Currency string
	Sum
}

// Unrated is usage that the draft cannot rate for one reason.
type Unrated struct {
	Reason   string
	Product  string
	Currency string
	Events   int64
	Before   money.Decimal // what was charged for it
}

// Apart is what Before leaves out, in one currency: adjustments of billing periods that the time asked for cuts in two. An adjustment
// stands at the beginning of its period, and what of it belongs to which part nobody can say.
type Apart struct {
	Currency    string
	Adjustments int64
	Amount      money.Decimal
}

// Result compares. Rows stand in the order of account, product and currency.
type Result struct {
	Rows     []Row
	LeftOut  int   // rows beyond the limit
	Products []Row // summed over accounts
	Totals   []Row // summed over accounts and products
	Top      []Row // summed over products: the accounts whose revenue changes most, the largest change first
	Unrated  []Unrated
	Apart    []Apart

	Activities int64 // that were read, those of the periods around the time included
	Accounts   int   // that have any
	Shared     int64 // events whose tiers several accounts share, which were rated as if each account had its own
	Cut        bool  // a billing period lies partly inside the time asked for
}

// ErrTooMuch says that a sum is beyond all bounds.
var ErrTooMuch = errors.New("the amounts are too large to be summed")

// Run rates the usage again. progress is told how many of how many activities are done, from any goroutine; nil: nobody is.
func Run(ctx context.Context, source sink.History, book Book, q Query, limits Limits, progress func(done, of int64)) (*Result, error) {
	h := sink.HistoryQuery{Account: q.Account, From: q.From, To: q.To}
	var err error
	if h.Extent, err = source.Extent(ctx, h); err != nil {
		return nil, err
	}
	gathered := newGathered(limits)
	if h.Extent == (sink.Extent{}) {
		return gathered.result()
	}
	gathered.out.Cut = h.Extent.First < q.From || h.Extent.End > q.To
	shares, of, err := divide(ctx, source, h, limits)
	if err != nil {
		return nil, err
	}
	for i := range shares {
		gathered.out.Accounts += len(shares[i].accounts)
	}
	r := &run{source: source, book: book, q: q, h: h, of: of, progress: progress, tries: limits.Activities, most: limits.Together, trees: trees{of: map[pooled]*tree{}}}
	if err := r.all(ctx, shares, max(1, limits.Workers), gathered); err != nil {
		return nil, err
	}
	gathered.out.Activities = r.done.Load()
	return gathered.result()
}

// share is what is read at once: the usage of neighbouring accounts.
type share struct {
	accounts   []string
	activities int64
}

// countPage is how many accounts are counted in one question.
const countPage = 50_000

// divide counts the usage of every account and divides it into shares.
func divide(ctx context.Context, source sink.History, h sink.HistoryQuery, limits Limits) (shares []share, of int64, err error) {
	after := ""
	for {
		counts, err := source.AccountCounts(ctx, h, after, countPage)
		if err != nil {
			return nil, 0, err
		}
		for _, c := range counts {
			last := len(shares) - 1
			if last < 0 || len(shares[last].accounts) >= limits.Accounts || shares[last].activities+c.Activities > int64(limits.Activities) {
				shares = append(shares, share{})
				last++
			}
			s := &shares[last]
			s.accounts, s.activities, of, after = append(s.accounts, c.Account), s.activities+c.Activities, of+c.Activities, c.Account
		}
		if len(counts) < countPage {
			return shares, of, nil
		}
	}
}

// run is one comparison on its way.
type run struct {
	source   sink.History
	book     Book
	q        Query
	h        sink.HistoryQuery
	of       int64
	done     atomic.Int64
	summed   atomic.Int64 // activities that were rated in sums
	read     atomic.Int64 // … of which that was tried in vain
	tries    int          // so many are tried whatever comes of it
	progress func(done, of int64)
	most     int // accounts that are rated together
	trees    trees
}

// all has workers rate the shares, and gathers what they come to in the order of the shares.
func (r *run) all(ctx context.Context, shares []share, workers int, into *gathered) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// A worker may not be further ahead of the gathering than this, so that a slow share does not let results pile up.
	room := make(chan struct{}, 2*workers)
	next := make(chan int)
	results := make([]chan *ratedShare, len(shares))
	for i := range results {
		results[i] = make(chan *ratedShare, 1)
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		defer close(next)
		for i := range shares {
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			select {
			case next <- i:
			case <-ctx.Done():
				return
			}
		}
	})
	for range workers {
		wait.Go(func() {
			for i := range next {
				s, err := r.share(ctx, &shares[i])
				if err != nil {
					stop(err)
					return
				}
				results[i] <- s
			}
		})
	}
	for i := range results {
		select {
		case s := <-results[i]:
			<-room
			if err := into.take(s); err != nil {
				stop(err)
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// report tells how far the work is, now and then.
func (r *run) report(more int64) {
	done := r.done.Add(more)
	if r.progress != nil {
		r.progress(done, max(done, r.of))
	}
}

func tooMuch(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTooMuch, err)
	}
	return nil
}
