package invoicer_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// TestLevelsThatGoOn: a seat costs 1 in the month. Ten are there from October on; November begins with them when October is sealed; 4 more in the
// middle of November; December, which has one more from its start, finds 14; then 3 more for the last ten days of November are 3 more in December.
func TestLevelsThatGoOn(t *testing.T) {
	w := invoicertest.New(t, now, "currency: USD\nproducts: [{id: seats, rates: [{model: per_unit, unit_price: 1, aggregation: time_weighted}]}]"+family)
	r := invoicertest.NewRated(w)
	d := w.Desk(nil)
	d.History = &r.Log
	used(r, "acme", "seats", "10", "2026-10-01T00:00:00Z")
	r.Seal("acme", instantOf("2026-10-01"), instantOf("2026-11-01"))
	used(r, "acme", "seats", "4", "2026-11-16T00:00:00Z")
	used(r, "acme", "seats", "1", "2026-12-01T00:00:00Z")
	used(r, "acme", "seats", "3", "2026-11-21T00:00:00Z")
	want := []struct{ kind, equation, note string }{
		{"usage", "10 × 1 - 0 = 10", ""},
		{"adjustment", "10 × 1 - 0 = 10", "goes on into this one."},
		{"usage", "12 × 1 - 10 × 1 = 2", ""},
		{"usage", "15 × 1 - 0 = 15", ""},
		{"usage", "13 × 1 - 12 × 1 = 1", ""},
		{"adjustment", "18 × 1 - 15 × 1 = 3", "the difference is charged here."},
	}
	if len(r.History) != len(want) {
		t.Fatalf("%d activities", len(r.History))
	}
	for i, c := range want {
		x := explained(t, d, &r.History[i])
		if x.Kind != c.kind || x.Equation != c.equation || x.Arithmetic == nil || !strings.HasSuffix(x.Note, c.note) || c.note == "" && x.Note != "" {
			t.Errorf("%d: %s %q, want %q; %q", i, x.Kind, x.Equation, c.equation, x.Note)
		}
	}
	if x := explained(t, d, &r.History[2]); !strings.Contains(x.Total.Segments[0].Note, "it goes on from 10") || x.Earlier != 0 {
		t.Errorf("%q, %d earlier", x.Total.Segments[0].Note, x.Earlier)
	}
	// The usage of October is not stored: what November begins with cannot be told.
	last := r.History[2]
	r.History = r.History[1:]
	if x := explained(t, d, &last); x.Arithmetic != nil || x.Equation != "12 - 10 = 2" {
		t.Errorf("%+v", x)
	}
}

func instantOf(day string) int64 { return must(time.Parse(time.DateOnly, day)).UnixNano() }

// TestRandomLevels explains every activity of seats that come and go in any order over four months, some of them sealed, under prices that change.
func TestRandomLevels(t *testing.T) {
	kinds := map[string]int{}
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 9))
		rate := func() string {
			models := []string{
				"model: per_unit, unit_price: 1.1", "model: graduated, tiers: [{up_to: 5, unit_price: 2}, {unit_price: 0.3, flat_price: 1}]",
				"model: matrix, dimensions: [region], prices: [{match: {region: eu}, model: per_unit, unit_price: 3}], default: {model: volume, tiers: [{up_to: 3, unit_price: 2}, {unit_price: 1}]}",
			}
			text := models[random.IntN(len(models))] + ", aggregation: time_weighted"
			if seed%4 == 0 {
				text += ", level: absolute"
			}
			return "{id: seats-1, " + text + "}"
		}
		group := []string{"", ", group_by: [region]"}[random.IntN(2)]
		w := invoicertest.New(t, now, "currency: USD\nproducts: [{id: seats"+group+", rates: ["+rate()+"]}]"+family)
		r := invoicertest.NewRated(w)
		d := w.Desk(nil)
		d.History = &r.Log
		months := []string{"2026-09-01", "2026-10-01", "2026-11-01", "2026-12-01", "2027-01-01"}
		sealed := 0
		for i := range 12 {
			switch n := random.IntN(12); {
			case n < 2 && sealed < 3:
				r.Seal("acme", instantOf(months[sealed]), instantOf(months[sealed+1]))
				sealed++
				continue
			case n == 2 && seed%3 == 0:
				w.Apply("products: [{id: seats" + group + ", rates: [" + rate() + "]}]")
				continue
			}
			month := min(len(months)-2, sealed+random.IntN(2))
			if random.IntN(8) == 0 {
				month = random.IntN(len(months) - 1)
			}
			at := time.Unix(0, instantOf(months[month])).Add(time.Duration(random.IntN(30*24)) * time.Hour)
			e := eventOf("acme", "seats", fmt.Sprint(random.IntN(9)-2), at)
			e.ID, e.Backfill = fmt.Sprint(i), true
			e.Attributes = []activity.Attribute{{Name: "region", Value: []string{"eu", "us"}[random.IntN(2)]}}
			if rejected := r.Use(e); len(rejected) > 0 && rejected[0] != rater.ReasonNegative {
				t.Fatalf("seed %d: %v", seed, rejected)
			}
		}
		for i := range r.History {
			a := &r.History[i]
			x := explained(t, d, a)
			kind := x.Kind
			if a.Kind == activity.KindAdjustment && a.Source == rater.CauseLevel {
				kind = map[bool]string{true: "another level", false: "begins"}[a.EventID == ""]
			}
			if x.Arithmetic == nil {
				kind += " without arithmetic"
			}
			kinds[kind]++
		}
	}
	t.Log(kinds)
	// Where a record brings other prices and another level at once, they are one adjustment, which neither explains.
	if kinds["usage"] < 1000 || kinds["begins"] < 80 || kinds["another level"] < 300 || kinds["adjustment"] < 8 || kinds["another level without arithmetic"] > 4 || len(kinds) > 5 {
		t.Error("too few are explained")
	}
}
