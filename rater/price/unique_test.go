package price

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

var users = &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One, Aggregation: catalog.AggregationUnique, Attribute: "user"}

// TestUniqueCountsAnyPlaces: whatever places are taken together, in whatever order, they have as many values as a set finds.
func TestUniqueCountsAnyPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const places = 5
		var set Values
		var states [places]State
		var seen [places]map[string]bool
		for i := range seen {
			seen[i] = map[string]bool{}
		}
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			value, at := fmt.Sprint("u", rapid.IntRange(0, 6).Draw(t, "value")), rapid.IntRange(0, places-1).Draw(t, "place")
			after, err := Aggregate(users, states[at], Input{Quantity: money.One, Value: set.See(value)})
			if err != nil {
				t.Fatal(err)
			}
			set.Take(value, after)
			if seen[at][value] && after.Rest != states[at].Rest {
				t.Fatal("a value that was seen changes more than the number of events")
			}
			states[at] = after
			seen[at][value] = true
		}
		order := rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(t, "order")
		n := rapid.IntRange(0, places).Draw(t, "places")
		all, one, other := map[string]bool{}, State{}, State{}
		half := rapid.IntRange(0, n).Draw(t, "half")
		for i, at := range order[:n] {
			for value := range seen[at] {
				all[value] = true
			}
			part := &one
			if i >= half {
				part = &other
			}
			if err := part.merge(&states[at]); err != nil {
				t.Fatal(err)
			}
		}
		for _, pair := range [][2]State{{one, other}, {other, one}} {
			got, err := Merge(pair[0], pair[1])
			if err != nil {
				t.Fatal(err)
			}
			if q, err := Quantity(users, got); err != nil || q != money.FromInt(int64(len(all))) {
				t.Fatalf("places %v have %s values, want %d, %v", order[:n], q, len(all), err)
			}
		}
	})
}

// TestUniqueRefuses: an event without a value, one that takes back, and places and spreads beyond what is kept.
func TestUniqueRefuses(t *testing.T) {
	var set Values
	if _, err := Aggregate(users, State{}, Input{Quantity: money.One, Value: set.See("")}); !errors.Is(err, ErrNoAttribute) {
		t.Errorf("no value: %v", err)
	}
	if _, err := Aggregate(users, State{}, Input{Quantity: money.One.Neg(), Value: set.See("a")}); !errors.Is(err, ErrNegativeQuantity) {
		t.Errorf("a negative quantity: %v", err)
	}
	if s, err := Aggregate(users, State{}, Input{Value: set.See("a")}); err != nil || s.Events != 1 {
		t.Errorf("a quantity of zero: %+v, %v", s, err)
	}
	states := make([]State, 65)
	for i := range states {
		s, err := Aggregate(users, states[i], Input{Quantity: money.One, Value: set.See("a")})
		if i == 64 {
			if !errors.Is(err, money.ErrOverflow) {
				t.Errorf("place %d: %+v, %v", i, s, err)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		set.Take("a", s)
		states[i] = s
	}
	// Each value another set of the first 13 places: one more than fits, after the 64 of a.
	over := false
	for v := 1; v < 1<<13 && !over; v++ {
		for at := range 13 {
			if v>>at&1 == 0 {
				continue
			}
			text := fmt.Sprint("v", v)
			s, err := Aggregate(users, states[at], Input{Quantity: money.One, Value: set.See(text)})
			if err != nil {
				over = errors.Is(err, money.ErrOverflow)
				if n := len(set.last.Spreads); n != maxSpreads {
					t.Errorf("refused at %d spreads", n)
				}
				break
			}
			set.Take(text, s)
			states[at] = s
		}
	}
	if !over {
		t.Error("any number of spreads is kept")
	}
	var apart Values
	s, err := Aggregate(users, State{}, Input{Quantity: money.One, Value: &Value{Set: [16]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	apart.Take("a", s)
	if _, err := Merge(s, states[0]); !errors.Is(err, errOtherSet) {
		t.Errorf("two sets are merged: %v", err)
	}
}

// TestUniqueIsKeptApart: states of two attributes are of two kinds.
func TestUniqueIsKeptApart(t *testing.T) {
	hosts := *users
	hosts.Attribute = "host"
	if SameKind(users, &hosts) || Shape(users) == Shape(&hosts) || Shape(users)&0xff != Shape(&hosts)&0xff {
		t.Error("users and hosts are of one kind")
	}
}

func BenchmarkUnique(b *testing.B) {
	for name, distinct := range map[string]int{"known": 1, "new": 1 << 30} {
		b.Run(name, func(b *testing.B) {
			var s State
			u := Value{Set: [16]byte{1}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				_, place := s.Rest.UniqueOf()
				u.Of, _ = s.Rest.UniqueOf()
				u.Places = 0
				if i >= distinct {
					u.Places = place
				}
				if err := Add(users, &s, &Input{Quantity: money.One, Value: &u}); err != nil {
					b.Fatal(err)
				}
				if _, err := TotalOf(users, &s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
