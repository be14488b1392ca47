package e2e

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// The stream of the big tests.
const (
	loadEvents   = 20_000
	loadAccounts = 200
)

// load is a stream of usage with what it must come to.
type load struct {
	*drive.Traffic
	batches []drive.Batch
	uses    []oracle.Use
}

// newLoad makes the stream from the random numbers.
func newLoad(random *rand.Rand, events int) *load {
	l := &load{Traffic: drive.NewTraffic(random, loadAccounts)}
	for n := 0; n < events; {
		b, uses := l.Next(min(1+random.IntN(120), events-n))
		l.batches, l.uses = append(l.batches, b), append(l.uses, uses...)
		n += b.Events
	}
	return l
}

// send delivers every batch, from several clients at once; who is not answered with 202 sends the same again. Every 50th batch
// is sent twice although it was acknowledged. after is called with the number of acknowledged events.
func (l *load) send(t testing.TB, addresses []string, key string, after func(acknowledged int)) {
	t.Helper()
	const clients = 4
	work := make(chan int)
	var acknowledged atomic.Int64
	var wait sync.WaitGroup
	for client := range clients {
		c := newCaller(addresses[client%len(addresses)], key)
		wait.Go(func() {
			for n := range work {
				times := 1
				if n%50 == 7 {
					times = 2
				}
				for range times {
					if err := deliver(c, &l.batches[n]); err != nil {
						t.Errorf("batch %d: %v", n, err)
						continue
					}
				}
				sum := acknowledged.Add(int64(l.batches[n].Events))
				if after != nil {
					after(int(sum))
				}
			}
		})
	}
	for n := range l.batches {
		work <- n
	}
	close(work)
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// deliver sends a batch until it is acknowledged.
func deliver(c *caller, b *drive.Batch) error {
	deadline := time.Now().Add(2 * patience)
	for {
		err := c.Post(b)
		if !errors.Is(err, drive.ErrNotNow) || time.Now().After(deadline) {
			return err
		}
		pause(20 * time.Millisecond)
	}
}

// prove waits until every account's invoice is what the oracle says, and then holds the report store and reconcile against it.
func (l *load) prove(t testing.TB, c *caller) {
	t.Helper()
	bills := oracle.Bill(l.uses, l.RatesOf)
	if len(bills) != loadAccounts*9/10 {
		t.Fatalf("the stream reaches %d invoices", len(bills))
	}
	for account, want := range bills {
		eventually(t, "invoice of "+account, func() error {
			got, err := c.InvoiceAt(account, l.Begin)
			if err != nil {
				return err
			}
			return want.Differs(got)
		})
	}
	c.proveReports(t, l.Month(), bills)
	counts := c.proveReconciled(t, l.Month())
	if counts.Rated != int64(len(l.uses)) || counts.Rejected != 0 {
		t.Errorf("reconcile counts %+v, want %d rated and none rejected", counts, len(l.uses))
	}
	t.Logf("reconciled: %+v", counts)
}

// proveReports compares the report store's sums by billed account.
func (c *caller) proveReports(t testing.TB, month string, bills map[string]*oracle.Expectation) {
	t.Helper()
	eventually(t, "revenue report", func() error {
		got, err := c.Revenue(month)
		if err != nil {
			return err
		}
		return drive.SameTotals(got, bills)
	})
}

// proveReconciled runs the command until the month agrees; it may be behind for a moment.
func (c *caller) proveReconciled(t testing.TB, month string) (sum drive.Counts) {
	t.Helper()
	eventually(t, "reconcile", func() (err error) {
		out, errs, code := c.command(t, "", "reconcile", "--deep", "--period", month, "--output", "json")
		if code != 0 {
			return errors.New(errs)
		}
		sum, err = drive.Reconciled(out)
		return err
	})
	return sum
}
