package rater

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// by sends an event of a user, or of users, on days of January: "ann@5 bob@15".
func (a *anew) by(users string) string {
	a.t.Helper()
	var got []string
	for _, sent := range strings.Fields(users) {
		var day int64
		user, at, _ := strings.Cut(sent, "@")
		if _, err := fmt.Sscan(at, &day); err != nil {
			a.t.Fatal(err)
		}
		got = append(got, a.send(a.now(), "1", benchStart+(day-1)*24*benchHour, usage.Attribute{Name: "user", Value: user}))
	}
	return strings.ReplaceAll(strings.Join(got, " "), "usage ", "")
}

func users(price string) object {
	return object{"model": "per_unit", "unit_price": price, "aggregation": "unique", "attribute": "user"}
}

// since is what a contract says from a day of January on.
func since(day string, rate object) object {
	rate = maps.Clone(rate)
	rate["start"] = "2026-01-" + day + "T00:00:00Z"
	return rate
}

// TestValuesAnew: 1 a user, and 3 from the 10th on by a contract that comes to be known late. By the order of the usage's time ann counts before
// the 10th, the others behind it, wherever they stand in the log.
func TestValuesAnew(t *testing.T) {
	for _, reload := range []bool{false, true} {
		a := newAnew(t, users("1"), since("10", users("3")), since("10", users("4")))
		again := func() {
			if reload {
				a.reload()
			}
		}
		a.want(a.by("ann@5 ann@15 bob@15"), "1 0 1")
		a.activate(2)
		a.want(a.by("cy@16"), "3")
		at := a.mark(2, 1)
		again()
		a.want(a.by("ann@20 dan@12 cy@11"), "0 3 0")
		again()
		a.want(a.total(), "8")
		a.want(a.result(2, 1, at), "definition:2 2") // ann 1, bob, cy and dan 3 each
		again()
		a.want(a.total(), "10")
		a.want(a.by("dan@13 eve@14 bob@3 bob@12"), "0 3 -2 0") // bob counts before the 10th now: 1 in place of 3
		a.activate(3)
		a.want(a.by("fay@20"), " 3, 4") // cy, dan and eve cost 4 each, and so does fay
		// Counted once more, from what was stored under two sets: ann and bob 1, cy, dan, eve and fay 4.
		a.want(a.result(3, 1, a.mark(3, 1)), "")
		a.want(a.total(), "18")
		again()
		a.want(a.by("ann@20 gus@20 fay@2"), "0 4 -3")
		a.want(a.total(), "19")
	}
}

// TestValuesOfAnotherAttribute: what was counted is of no use for a rate that counts something else, or adds up.
func TestValuesOfAnotherAttribute(t *testing.T) {
	a := newAnew(t, users("1"), object{"model": "per_unit", "unit_price": "2"}, users("5"))
	a.want(a.by("ann@5 ann@6 bob@6"), "1 0 1")
	a.activate(2)
	a.want(a.by("bob@6"), "2")
	at := a.mark(2, 1)
	a.want(a.by("bob@7"), "2")
	a.want(a.result(2, 1, at), "definition:2 4") // five units
	a.save()
	if len(a.values) != 0 {
		t.Errorf("%d values are kept, which nothing counts", len(a.values))
	}
	a.activate(3)
	at = a.mark(3, 1)
	a.want(a.by("ann@7 cy@7"), "5 5")
	a.want(a.result(3, 1, at), "definition:3 -5") // 10 for units, and 10: ann, bob and cy are 15
	a.want(a.by("bob@1"), "0")
}

// TestValuesReadInAnyOrder: values and parts of a result come again, and late; the result counts when all are there.
func TestValuesReadInAnyOrder(t *testing.T) {
	a := newAnew(t, users("1"), since("10", users("3")))
	a.want(a.by("ann@15 bob@15 cy@15"), "1 1 1")
	a.activate(2)
	first := a.mark(2, 1)
	a.want(a.by("bob@16"), "0")
	second := a.mark(2, 2)
	a.want(a.by("cy@16 dan@16"), "0 3")
	job := Summing{a, a, a, a, 0}
	records := func(attempt, at int64) (values, results []usage.Record) {
		sum, err := job.Sum(t.Context(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: at})
		if err != nil {
			t.Fatal(err)
		}
		parts, err := sum.Results("a", 2, attempt, at)
		if err != nil {
			t.Fatal(err)
		}
		for v := range sum.Values("a", 2, attempt, at) {
			for i := range v.Values {
				one := *v
				one.Values = v.Values[i : i+1]
				values = append(values, usage.Record{Kind: usage.KindValues, Values: &one})
			}
		}
		for i := range parts {
			results = append(results, usage.Record{Kind: usage.KindResult, Result: &parts[i]})
		}
		return values, results
	}
	old, _ := records(1, first)
	values, results := records(2, second)
	if len(values) != 3 || len(results) != 1 || len(old) != 3 {
		t.Fatalf("%d values, %d results", len(values), len(results))
	}
	for _, r := range []usage.Record{results[0], values[2], old[0], values[0], values[2], results[0], old[1], values[0], values[1]} {
		a.want(a.step(a.now(), r), "")
		a.reload()
	}
	if !a.m.markers["a"].Open {
		t.Error("a result of other values ends the marker")
	}
	a.want(a.step(a.now(), results[0]), "definition:2 6") // four users at 3
	for _, r := range slices.Concat(values, old, results) {
		a.want(a.step(a.now(), r), "")
	}
	a.save()
	if len(a.values) != 4 {
		t.Errorf("%d values are kept", len(a.values))
	}
	a.want(a.by("ann@1 dan@16 eve@16"), "-2 0 3")
}

// TestCorrectedValues: an event is left out of what is counted; a user who was in no other counts no more.
func TestCorrectedValues(t *testing.T) {
	a := newAnew(t, users("1"), users("1"), users("1"))
	a.want(a.by("ann@5 bob@6 ann@7 cy@8"), "1 1 0 1") // e1 to e4
	a.want(a.correct("c1", "-1", 5, "e1"), ReasonCorrectionWaits)
	a.want(a.correct("c2", "-1", 5, "e2"), ReasonCorrectionWaits)
	a.activate(2)
	at := a.mark(2, 1)
	a.want(a.by("dan@8"), "1")
	a.want(a.result(2, 1, at), "definition:2 -1, usage 0, usage 0") // ann is in e3
	a.want(a.total(), "3")
	a.reload()
	a.want(a.by("bob@9 cy@9"), "1 0")
	a.want(a.correct("c3", "-1", 7, "e3"), ReasonCorrectionWaits)
	a.want(a.again(3), "definition:3 -1, usage 0")
	a.want(a.by("ann@9"), "1")
}

// TestCorrectedValuesOfAClosedInvoice: what is closed stays; the difference goes to the current invoice.
func TestCorrectedValuesOfAClosedInvoice(t *testing.T) {
	a := newAnew(t, users("2"), users("2"))
	a.want(a.by("ann@5 bob@6"), "2 2")
	a.seal()
	a.want(a.correct("c1", "-1", 5, "e2"), ReasonCorrectionWaits)
	a.want(a.again(2), "definition:2 -2, usage 0")
	a.want(a.by("bob@9 cy@9"), "0 2") // late, by what is closed
}

// TestTooManyPlacesBehindAMarker: each part of a set has half of the places.
func TestTooManyPlacesBehindAMarker(t *testing.T) {
	a := newAnew(t, users("1"), users("2"))
	a.by("ann@5")
	a.activate(2)
	at := a.mark(2, 1)
	a.by("ann@6")
	f := slices.Collect(maps.Values(a.m.families))[0]
	u, s := f.secondCount(f.setBehind(a.m.rate, a.m.markers["a"]), a.m.markers["a"])
	if s == nil || u.Values() != 1 {
		t.Fatalf("%+v", u)
	}
	if _, places := s.state.Rest.UniqueOf(); places != 1<<32 {
		t.Errorf("places %b behind the marker", places)
	}
	a.want(a.result(2, 1, at), "") // activated before: 2 for ann
	a.want(a.total(), "2")
}

// TestValuesAnewLikeFromTheStart: whatever arrives before and behind markers, of values that are mostly not in memory, comes to what it would have come to
// had the definitions been known from the start.
func TestValuesAnewLikeFromTheStart(t *testing.T) {
	tiers := []any{object{"up_to": "3", "unit_price": "0.5", "flat_price": "3"}, object{"unit_price": "0.2"}}
	by := func(rate object, attribute string) object {
		rate = maps.Clone(rate)
		rate["aggregation"], rate["attribute"] = "unique", attribute
		return rate
	}
	kinds := []object{
		by(object{"model": "graduated", "tiers": tiers}, "user"), by(object{"model": "volume", "tiers": tiers}, "user"), by(object{"model": "per_unit", "unit_price": "0.7"}, "host"),
		{"model": "matrix", "aggregation": "unique", "attribute": "user", "dimensions": []any{object{"name": "host"}}, "prices": []any{
			object{"match": object{"host": "h1"}, "model": "per_unit", "unit_price": "1"},
		}, "default": object{"model": "graduated", "tiers": tiers}},
		{"model": "graduated", "tiers": tiers, "aggregation": "count"}, {"model": "percentage", "rate": "10", "free_amount": "5"},
	}
	runs := 600
	if testing.Short() {
		runs = 100
	}
	merged, asked := 0, 0
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 11))
		var rates [3]object
		for i := range rates {
			rates[i] = kinds[r.IntN(len(kinds))]
			if i > 0 && r.IntN(4) > 0 {
				rates[i] = maps.Clone(rates[i])
				rates[i]["start"] = time.Unix(0, benchStart+int64(r.IntN(60*24))*benchHour).UTC().Format(time.RFC3339)
				if r.IntN(3) == 0 {
					rates[i]["tiers_restart"] = true
				}
			}
		}
		made := func() *anew { return newAnew(t, maps.Clone(rates[0]), maps.Clone(rates[1]), maps.Clone(rates[2])) }
		a, scratch := made(), made()
		scratch.activate(2)
		scratch.activate(3)
		a.keep = 1 + r.IntN(6)
		put := func(some int) {
			for range some {
				at := benchStart + r.Int64N(90*24)*benchHour
				attributes := []usage.Attribute{{Name: "host", Value: fmt.Sprint("h", r.IntN(4))}, {Name: "user", Value: fmt.Sprint("u", r.IntN(9))}}
				a.send(a.later(), "1", at, attributes...)
				scratch.send(a.later(), "1", at, attributes...)
				if r.IntN(3) == 0 {
					a.save()
				}
				if r.IntN(5) == 0 && a.m.markers["a"] != nil {
					a.reload()
				}
			}
		}
		put(1 + r.IntN(20))
		for seq := int64(2); seq <= 3; seq++ {
			a.activate(seq)
			put(r.IntN(4))
			at := a.mark(seq, 1)
			put(r.IntN(12))
			if r.IntN(3) == 0 {
				at = a.mark(seq, 2)
				put(r.IntN(6))
				if a.result(seq, 2, at) != "" {
					merged++
				}
			} else if a.result(seq, 1, at) != "" {
				merged++
			}
			put(r.IntN(6))
		}
		asked += len(a.values)
		if got, want := a.total(), scratch.total(); got != want {
			t.Fatalf("seed %d: %v: comes to %s, from the start to %s", seed, rates, got, want)
		}
	}
	if merged < runs/2 || asked == 0 {
		t.Errorf("of %d results %d change anything; %d values are saved", 2*runs, merged, asked)
	}
}

// TestTooManyValuesAnew: what has more values than a sum holds stays as it was, and says what to do.
func TestTooManyValuesAnew(t *testing.T) {
	for most, left := range map[int]bool{2: true, 3: false} {
		a := newAnew(t, users("1"), users("2"))
		a.want(a.by("ann@5 bob@6 cy@7 dan@-30 ann@8"), "1 1 1 1 0")
		a.activate(2)
		job := Summing{a, a, a, a, most}
		sum, err := job.Sum(t.Context(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: a.offset, From: benchStart, Until: benchStart + 31*24*benchHour})
		if err != nil {
			t.Fatal(err)
		}
		if said := strings.Contains(sum.Left["p"], "product by product"); said != left || left != (len(sum.Lines) == 0) {
			t.Errorf("at most %d values: %d lines, %v", most, len(sum.Lines), sum.Left)
		}
		for v := range sum.Values("a", 2, 1, a.offset) {
			if left || len(v.Values) != 3 {
				t.Errorf("at most %d values: %d are written", most, len(v.Values))
			}
		}
	}
}

// manyUsers are stored activities like one, of so many users, each of whom comes twice.
type manyUsers struct {
	*anew
	like  activity.Activity
	users int
}

func (s *manyUsers) Each(_ context.Context, _ UsageQuestion, do func(int64, *activity.Activity) error) error {
	for range 2 {
		for i := range s.users {
			x := s.like
			x.Attributes = []activity.Attribute{{Name: "user", Value: fmt.Sprint("user-", i)}}
			if err := do(0, &x); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestMillionValuesAnew counts a million values anew, exactly, while some of them come behind the marker; the rater keeps a bounded number.
func TestMillionValuesAnew(t *testing.T) {
	values, slots := 1_000_000, 1<<21
	if testing.Short() {
		values, slots = 100_000, 1<<18
	}
	a := newAnew(t, users("0.01"), users("0.02"))
	a.want(a.by("user-0@5"), "0.01")
	a.activate(2)
	at := a.mark(2, 1)
	stores := &valueStores{slots: make([]ValueState, slots)}
	a.large = stores
	const behind = 3000 // of which half came before
	for i := range behind {
		a.by(fmt.Sprintf("user-%d@6", values-behind/2+i))
	}
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	job := Summing{a, &manyUsers{a, a.log[0], values}, a, a, 0}
	sum, err := job.Sum(t.Context(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: at})
	if err != nil || sum.Events != int64(2*values) {
		t.Fatal(sum.Events, err)
	}
	summed, records, most := heap()-before, 0, int64(0)
	for v := range sum.Values("a", 2, 1, at) {
		a.want(a.step(a.now(), usage.Record{Kind: usage.KindValues, Values: v}), "")
		if records++; records%4 == 0 {
			stores.cut(a.m)
		}
		if held := len(a.m.distinct.recent) + len(a.m.distinct.older) + a.m.distinct.unsaved(); held > a.m.distinct.keep+4*usage.MaxValues+usage.MaxValues {
			t.Fatalf("%d values are held", held)
		}
		if records%16 == 0 {
			most = max(most, heap()-before)
		}
	}
	parts, err := sum.Results("a", 2, 1, at)
	if err != nil || len(parts) != 1 {
		t.Fatal(len(parts), err)
	}
	a.step(a.now(), usage.Record{Kind: usage.KindResult, Result: &parts[0]})
	if got, want := a.total(), money.MustParse(fmt.Sprint((values+behind/2)/50)).String(); got != want {
		t.Errorf("comes to %s, want %s", got, want)
	}
	a.want(a.by(fmt.Sprintf("user-7@1 user-%d@1 somebody@1", values)), "0 0 0.02")
	t.Logf("%d values in %d records, %d asked for; the sum holds %d bytes a value, with its records %d", values, records, stores.asked, summed/int64(values), most/int64(values))
}
