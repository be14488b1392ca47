package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollstream/tollstream/invoicer"
)

// slowStore answers when it is let, or not.
type slowStore struct {
	asked  atomic.Int32
	answer chan error
}

func (s *slowStore) DailyCharges(ctx context.Context, q invoicer.DailyQuery) ([]invoicer.DayCharge, error) {
	n := s.asked.Add(1)
	select {
	case err := <-s.answer:
		return []invoicer.DayCharge{{Day: "2026-11-22", Product: q.Billed + string('0'+rune(n))}}, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestInvoicesDoNotWaitForTheReportStore: the first question waits for a moment, the others do not, whatever the store does.
func TestInvoicesDoNotWaitForTheReportStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{answer: make(chan error)}
		p := newPace(store, time.Now)
		ask := func(billed string) (product string, took time.Duration) {
			began := time.Now()
			charges, err := p.DailyCharges(t.Context(), invoicer.DailyQuery{Billed: billed, Zone: time.UTC})
			if err == nil {
				product = charges[0].Product
			}
			return product, time.Since(began)
		}
		expect := func(what, billed, product string, wait time.Duration, asked int32) {
			t.Helper()
			got, took := ask(billed)
			synctest.Wait()
			if got != product || took != wait || store.asked.Load() != asked {
				t.Errorf("%s: %q after %s, asked %d times; want %q after %s, %d times", what, got, took, store.asked.Load(), product, wait, asked)
			}
		}
		expect("nothing known", "a", "", paceWait, 1)
		expect("asked already", "a", "", 0, 1)
		store.answer <- nil
		synctest.Wait()
		expect("answered", "a", "a1", 0, 1)
		<-time.After(paceFor)
		expect("stale, asked beside", "a", "a1", 0, 2)
		store.answer <- errors.New("away")
		synctest.Wait()
		expect("the store failed", "a", "a1", 0, 3)
		store.answer <- nil
		synctest.Wait()
		expect("asked again", "a", "a3", 0, 3)
		go func() { store.answer <- nil }()
		expect("a store that answers at once", "b", "b4", 0, 4)
		for i := range maxPaces {
			_, _ = ask(string('c' + rune(i)))
		}
		expect("a store that is busy enough", "z", "", 0, 4+maxPaces)
		<-time.After(pacePatience)
		synctest.Wait()
		expect("those questions were given up", "z", "", paceWait, 5+maxPaces)
		<-time.After(pacePatience)
	})
}
