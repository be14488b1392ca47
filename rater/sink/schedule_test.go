package sink_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/rater/sink"
)

// TestSchedules lets two sinks meet refusals, lost answers, crashes, lost leases, gaps and zombies in any
// order. In the end the store holds exactly the activities of the records that count, each with its content.
func TestSchedules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		dates := []string{"2026-10-31", "2026-11-01", "2026-12-24"}
		last := map[int32]int64{0: -1, 1: -1}
		want := map[sink.Place]string{}
		write := func() {
			p := int32(rapid.IntRange(0, 1).Draw(rt, "partition"))
			times := rapid.SliceOfN(rapid.SampledFrom(dates), 0, 4).Draw(rt, "times")
			offset := last[p] + int64(rapid.IntRange(1, 2).Draw(rt, "step"))
			switch rapid.IntRange(0, 5).Draw(rt, "kind") {
			case 0: // left behind by a failed produce; its offset comes again
				w.log[p] = append(w.log[p], record(offset, offset+1, "", times...))
			case 1: // a zombie's, late
				w.log[p] = append(w.log[p], record(max(last[p]-1, -1), last[p], "-zombie", times...))
			default:
				w.log[p] = append(w.log[p], record(last[p], offset, "", times...))
				last[p] = offset
				for i := range times {
					want[sink.Place{Partition: p, Offset: offset, Index: i}] = fmt.Sprintf("e%d-%d", offset, i)
				}
			}
		}
		owner := 0
		fresh := func() *sink.Sink {
			owner++
			c := config(fmt.Sprint("sink ", owner))
			c.MaxRows = rapid.IntRange(1, 20).Draw(rt, "rows")
			s, _ := w.sink(t, c)
			return s
		}
		sinks := []*sink.Sink{fresh(), fresh()}
		asleep, working := false, 0
		w.onInsert = func(sink.Block) (error, error) {
			switch rapid.IntRange(0, 9).Draw(rt, "insert") {
			case 0:
				return errors.New("refused"), nil
			case 1:
				return nil, errors.New("answer lost")
			case 2:
				if !asleep { // the lease runs out in the middle, the others go on
					asleep = true
					w.now = w.now.Add(time.Minute)
					for range rapid.IntRange(1, 4).Draw(rt, "others") {
						_, _ = sinks[1-working].Step(t.Context())
					}
					asleep = false
				}
			}
			return nil, nil
		}
		w.onSave = func() error {
			if rapid.IntRange(0, 5).Draw(rt, "save") == 0 {
				return errors.New("refused")
			}
			return nil
		}
		for range rapid.IntRange(1, 60).Draw(rt, "length") {
			i := 1
			if rapid.Bool().Draw(rt, "which") {
				i = 0
			}
			switch rapid.IntRange(0, 9).Draw(rt, "action") {
			case 0: // killed, another starts
				sinks[i] = fresh()
			case 1:
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 60).Draw(rt, "seconds")) * time.Second)
			case 2, 3, 4:
				write()
			default:
				working = i
				_, _ = sinks[i].Step(t.Context()) // what fails here is done again
			}
		}
		w.onInsert, w.onSave = nil, nil
		w.now = w.now.Add(time.Hour)
		settle(t, fresh())
		check(rt, w, want)
	})
}

func check(t *rapid.T, w *world, want map[sink.Place]string) {
	for place, event := range want {
		if got := w.rows[place].Activity.EventID; got != event {
			t.Errorf("%v: stored %q, want %q", place, got, event)
		}
	}
	for place, row := range w.rows {
		if want[place] != row.Activity.EventID {
			t.Errorf("%v: stored %q, which does not count", place, row.Activity.EventID)
		}
	}
}
