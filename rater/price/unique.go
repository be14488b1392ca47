package price

import (
	"cmp"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// With the aggregation unique the values of one attribute are counted, each once however often and wherever it was seen: on a line under
// one rate and under the next, and on the lines that continue it. The values themselves are many and stand elsewhere. What a state has
// is how many there are of those that were seen in the same places, a place being the usage under one rate on one line. That is enough for
// the number of values in any places taken together, whichever rates later go on from which.

// ErrNoAttribute reports an event without the attribute whose values are counted.
var ErrNoAttribute = errors.New("the event does not say the attribute whose values are counted")

// maxSpreads bounds the ways in which values are spread over places, of which there are 64. An event beyond is refused as an overflow.
const maxSpreads = 4096

// Where values are counted in two parts that are put together later, each has half of the places, see [Joined].
const (
	FirstPlaces  = 1<<32 - 1
	SecondPlaces = FirstPlaces << 32
)

// Unique is how many values of a set were seen in which places. It is never changed: each new place of a value makes another.
type Unique struct {
	Set     [16]byte // names the set among all
	Changes int64    // how often a value came to a place: of two of one set, the one with more is newer
	Spreads []Spread // ascending
}

// Spread is how many values were seen in just these places.
type Spread struct {
	Places uint64
	Values int64
}

// Value is what is known of an event's value before the event.
type Value struct {
	Of     *Unique  // the newest of its set; nil: the event begins the set …
	Set    [16]byte // … of this name
	Places uint64   // in which it was seen
	Within uint64   // the places that this part of the set may have; 0: any
}

// UniqueOf gives what the rest says of values, and the places of its state; nil: it is of no values.
func (r *Rest) UniqueOf() (*Unique, uint64) {
	if r == nil {
		return nil, 0
	}
	return r.unique, r.places
}

// RestOfUnique makes the rest of a state in a place.
func RestOfUnique(u *Unique, place uint64) *Rest { return &Rest{unique: u, places: place} }

// CountsValues says whether r counts the values of an attribute, so that Aggregate needs [Input.Value].
func CountsValues(r *catalog.Rate) bool { return r.Aggregation == catalog.AggregationUnique }

// in counts the values that were seen in any of the places.
func (u *Unique) in(places uint64) int64 {
	n := int64(0)
	for _, s := range u.Spreads {
		if s.Places&places != 0 {
			n += s.Values
		}
	}
	return n
}

// uniqueValues is the quantity of a state.
func uniqueValues(s *State) money.Decimal {
	if u, places := s.Rest.UniqueOf(); u != nil {
		return money.FromInt(u.in(places))
	}
	return money.Decimal{}
}

// addValue adds one more event. Where its value was seen in the state's place already, nothing but the number of events changes;
// else the value has one place more, which whoever keeps the values takes from the state.
func (s *State) addValue(v *Value) error {
	if v == nil {
		return ErrNoAttribute
	}
	if s.Events == math.MaxInt64 {
		return money.ErrOverflow
	}
	s.Events++
	u, place := s.Rest.UniqueOf()
	if u != nil && v.Places&place != 0 {
		return nil
	}
	next := &Unique{Set: v.Set}
	if v.Of != nil {
		*next = *v.Of
	}
	if place == 0 {
		free := ^next.places()
		if v.Within != 0 {
			free &= v.Within
		}
		if place = free & -free; place == 0 {
			return money.ErrOverflow
		}
	}
	next.Changes++
	next.Spreads = moved(next.Spreads, v.Places, v.Places|place)
	if len(next.Spreads) > maxSpreads {
		return money.ErrOverflow
	}
	s.Rest = RestOfUnique(next, place)
	return nil
}

// places are those that there are: each has some value.
func (u *Unique) places() (all uint64) {
	for i := range u.Spreads {
		all |= u.Spreads[i].Places
	}
	return all
}

// NumberOfPlaces is how many there are.
func (u *Unique) NumberOfPlaces() int { return bits.OnesCount64(u.places()) }

// Values is how many there are in all places.
func (u *Unique) Values() (n int64) {
	for i := range u.Spreads {
		n += u.Spreads[i].Values
	}
	return n
}

// moved gives the spreads with one value that was seen in other places before; none: it was not seen.
func moved(spreads []Spread, before, after uint64) []Spread {
	out := append(make([]Spread, 0, len(spreads)+2), spreads...)
	if before != 0 {
		out = counted(out, before, -1)
	}
	return counted(out, after, 1)
}

// counted changes the spreads by so many values in just these places.
func counted(spreads []Spread, places uint64, more int64) []Spread {
	at, found := slices.BinarySearchFunc(spreads, places, func(s Spread, places uint64) int { return cmp.Compare(s.Places, places) })
	if !found {
		return slices.Insert(spreads, at, Spread{places, more})
	}
	if spreads[at].Values += more; spreads[at].Values == 0 {
		return slices.Delete(spreads, at, at+1)
	}
	return spreads
}

// A set may be counted in two parts at once, which have different places: the first from what is known of old, the second as events come.
// Where a value has places of the first part already, the second notes the difference that it makes to that: what it counts may then
// be less than nothing, until both are put together.

// Also gives the second part with a value that the first has counted in some places, and this one in others before.
func (u *Unique) Also(first, second uint64) *Unique {
	next := *u
	next.Changes++
	next.Spreads = counted(moved(u.Spreads, second, first|second), first, -1)
	return &next
}

var errParts = errors.New("bug: the parts of a set do not fit together")

// Joined puts the two parts of a set together; nil: there is none. It returns ErrOverflow when its values are spread in too many ways.
func Joined(first, second *Unique) (*Unique, error) {
	switch {
	case first == nil:
		first = &Unique{Set: second.Set}
	case second == nil:
		return first, nil
	}
	out := &Unique{Set: first.Set, Changes: first.Changes + second.Changes + 1, Spreads: slices.Clone(first.Spreads)}
	for _, s := range second.Spreads {
		out.Spreads = counted(out.Spreads, s.Places, s.Values)
	}
	if first.Set != second.Set || slices.ContainsFunc(out.Spreads, func(s Spread) bool { return s.Values < 0 }) {
		return nil, errParts
	}
	if len(out.Spreads) > maxSpreads {
		return nil, money.ErrOverflow
	}
	return out, nil
}

// errOtherSet says that states of values were to be merged that were counted apart.
var errOtherSet = errors.New("bug: values of one set are merged with those of another")

// mergeValues joins b to s, both with events: the places of both, as the newer knows them. What the older one does not know has happened
// in places that it is not of.
func (s *State) mergeValues(b *State) error {
	u, places := s.Rest.UniqueOf()
	v, others := b.Rest.UniqueOf()
	if u == nil || v == nil || u.Set != v.Set {
		return errOtherSet
	}
	if s.Events > math.MaxInt64-b.Events {
		return money.ErrOverflow
	}
	s.Events += b.Events
	if v.Changes > u.Changes {
		u = v
	}
	if s.Rest.unique != u || places|others != places {
		s.Rest = RestOfUnique(u, places|others)
	}
	return nil
}

// Values keeps the values of sets in memory, all of them.
type Values struct {
	seen map[string]uint64
	last *Unique
}

// See gives what is known of the value; nil: that is none.
func (v *Values) See(text string) *Value {
	if text == "" {
		return nil
	}
	return &Value{Of: v.last, Places: v.seen[text]}
}

// Take takes over what the state says after an event with the value.
func (v *Values) Take(text string, after State) {
	u, place := after.Rest.UniqueOf()
	if v.seen == nil {
		v.seen = map[string]uint64{}
	}
	v.seen[text] |= place
	if v.last == nil || u.Changes > v.last.Changes {
		v.last = u
	}
}
