package price

import (
	"errors"
	"fmt"
	"slices"
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
				if _, err := TotalOf(users, &s, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestJoinedParts: values that are counted in two parts, of which the first comes to be known value by value while the second counts on, are
// as many as a set finds, in whatever places, of the first part's and the second's.
func TestJoinedParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const places = 3 // of each part
		var first Values
		var states [2 * places]State
		var seen [2 * places]map[string]bool
		for i := range seen {
			seen[i] = map[string]bool{}
		}
		count := func(at int, text string, v *Value) {
			seen[at][text] = true
			after, err := Aggregate(users, states[at], Input{Quantity: money.One, Value: v})
			if err != nil {
				t.Fatal(err)
			}
			states[at] = after
		}
		value := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("u", rapid.IntRange(0, 6).Draw(t, "value")) })
		for range rapid.IntRange(0, 20).Draw(t, "events before") {
			text, at := value.Draw(t, "before"), rapid.IntRange(0, places-1).Draw(t, "place")
			v := first.See(text)
			v.Within = FirstPlaces
			count(at, text, v)
			first.Take(text, states[at])
		}
		var second *Unique
		known := map[string]uint64{} // in both parts
		var unread []string
		for text := range first.seen {
			unread = append(unread, text)
		}
		slices.Sort(unread)
		unread = rapid.Permutation(unread).Draw(t, "values of the first part")
		for more := rapid.IntRange(0, 20).Draw(t, "events behind"); more > 0 || len(unread) > 0; {
			if len(unread) > 0 && (more == 0 || rapid.Bool().Draw(t, "read")) {
				text := unread[0]
				unread = unread[1:]
				if known[text] != 0 {
					second = second.Also(first.seen[text], known[text])
				}
				known[text] |= first.seen[text]
				continue
			}
			more--
			text, at := value.Draw(t, "behind"), places+rapid.IntRange(0, places-1).Draw(t, "place")
			count(at, text, &Value{Of: second, Places: known[text], Within: SecondPlaces})
			if u, place := states[at].Rest.UniqueOf(); known[text]&place == 0 {
				second, known[text] = u, known[text]|place
			}
		}
		if first.last == nil && second == nil {
			return
		}
		whole, err := Joined(first.last, second)
		if err != nil {
			t.Fatal(err)
		}
		order := rapid.Permutation([]int{0, 1, 2, 3, 4, 5}).Draw(t, "order")
		all, together := map[string]bool{}, State{}
		for _, at := range order[:rapid.IntRange(0, len(order)).Draw(t, "places")] {
			s := states[at]
			if _, place := s.Rest.UniqueOf(); place != 0 {
				s.Rest = RestOfUnique(whole, place)
			}
			for text := range seen[at] {
				all[text] = true
			}
			if err := together.merge(&s); err != nil {
				t.Fatal(err)
			}
		}
		if q, err := Quantity(users, together); err != nil || q != money.FromInt(int64(len(all))) {
			t.Fatalf("places %v have %s values, want %d, %v", order, q, len(all), err)
		}
	})
}

// TestPartsThatDoNotFit: parts of two sets, and a second part that takes back what the first does not have, are none; and each part has its places.
func TestPartsThatDoNotFit(t *testing.T) {
	one := &Unique{Spreads: []Spread{{1, 1}}}
	for name, second := range map[string]*Unique{
		"another set": {Set: [16]byte{1}, Spreads: []Spread{{1 << 32, 1}}},
		"too few":     {Spreads: []Spread{{1, -2}, {1<<32 | 1, 1}}},
	} {
		if u, err := Joined(one, second); !errors.Is(err, errParts) {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	var many Unique
	for i := range uint64(maxSpreads + 1) {
		many.Spreads = append(many.Spreads, Spread{i + 1, 1})
	}
	if _, err := Joined(nil, &many); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("too many spreads: %v", err)
	}
	for within, want := range map[uint64]uint64{FirstPlaces: 2, SecondPlaces: 1 << 32, 1: 0} {
		s, err := Aggregate(users, State{}, Input{Quantity: money.One, Value: &Value{Of: one, Within: within}})
		if _, place := s.Rest.UniqueOf(); place != want && err == nil || (want == 0) != errors.Is(err, money.ErrOverflow) {
			t.Errorf("within %x: place %x, %v", within, place, err)
		}
	}
}
