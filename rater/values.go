package rater

import (
	"context"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Under the aggregation unique a line's state says how many values there are, and in which of its places (see price.Unique). Which
// values these are is kept apart, for there may be millions: in the store, a row each, and in memory what changed since the last cut and
// what was lately looked at. A record's values that are not in memory are asked for before it is rated, all in one question.
//
// A set has a name of its own that never comes again, and its states say it. So where usage is counted anew that is another set, and what is
// left of the one before can be deleted at any time.

// ValueKey names a value by its 128-bit hash, and the set that it is counted in.
type ValueKey struct {
	Set  activity.ID
	Hash [16]byte
}

// ValueState says in which places a value was seen, see price.Unique.
type ValueState struct {
	ValueKey
	Places uint64
}

// SetState says of a set of values how long they are of use: until it is gone, or no usage of its period is taken any more.
type SetState struct {
	Set  activity.ID
	Owed string // who is billed for the period
	End  int64  // of the period, an instant; of a set that is counted behind a marker the last there is, until the result is merged
	Gone bool   // another has taken its place
}

// values are what a partition, or a fold, knows of values.
type values struct {
	fresh   map[ValueKey]uint64 // changed since the last cut
	cutting map[ValueKey]uint64 // in the cut in flight
	recent  map[ValueKey]uint64 // as the store has them; 0: it has none
	older   map[ValueKey]uint64 // … looked at before those
	whole   map[activity.ID]struct{}
	sets    map[activity.ID]SetState // that have begun, or are gone, since the last cut
	keep    int                      // how many of recent and older are held
	all     bool                     // there is no store: what is not in memory was not seen …
	partial map[activity.ID]struct{} // … but of these sets
	faults  *Faults
}

func newValues(keep int, faults *Faults) values {
	return values{
		fresh: map[ValueKey]uint64{}, recent: map[ValueKey]uint64{}, whole: map[activity.ID]struct{}{}, sets: map[activity.ID]SetState{}, keep: keep, faults: faults,
	}
}

// places gives those in which the value was seen; false: the store has to be asked.
func (v *values) places(k *ValueKey) (uint64, bool) {
	if places, ok := v.fresh[*k]; ok {
		return places, true
	}
	if places, ok := v.cutting[*k]; ok {
		return places, true
	}
	if places, ok := v.recent[*k]; ok {
		return places, true
	}
	if places, ok := v.older[*k]; ok {
		v.recent[*k] = places
		return places, true
	}
	if v.all {
		_, partial := v.partial[k.Set]
		return 0, !partial
	}
	_, whole := v.whole[k.Set]
	return 0, whole
}

// begin begins a set, of which the store has nothing.
func (v *values) begin(s SetState) {
	v.whole[s.Set] = struct{}{}
	v.sets[s.Set] = s
}

// gone ends a set.
func (v *values) gone(set activity.ID) {
	delete(v.whole, set)
	v.sets[set] = SetState{Set: set, Gone: true}
}

// lacks says that values of the set were counted that are not known here.
func (v *values) lacks(set activity.ID) {
	if v.partial == nil {
		v.partial = map[activity.ID]struct{}{}
	}
	v.partial[set] = struct{}{}
}

// bound lets go of what was looked at longest ago, once more is held than is kept. What prepare has found must stay until the step: it is
// called between records.
func (v *values) bound() {
	if len(v.recent)+len(v.whole) <= v.keep/2 {
		return
	}
	v.older, v.recent = v.recent, map[ValueKey]uint64{}
	v.dropped()
}

// dropped says that of no set all values are here.
func (v *values) dropped() {
	if !v.faults.ForgottenValueIsNew {
		clear(v.whole)
	}
}

// freeze gives what changed since the last cut.
func (v *values) freeze() []ValueState {
	if len(v.fresh) == 0 {
		return nil
	}
	out := make([]ValueState, 0, len(v.fresh))
	for k, places := range v.fresh {
		out = append(out, ValueState{k, places})
	}
	v.cutting, v.fresh = v.fresh, map[ValueKey]uint64{}
	return out
}

// freezeSets gives the sets that have begun, or are gone, since the last cut.
func (v *values) freezeSets() (out []SetState) {
	for _, s := range v.sets {
		out = append(out, s)
	}
	clear(v.sets)
	return out
}

// committed says that the store has what was cut. What does not fit is dropped, and has to be asked for.
func (v *values) committed() {
	for k, places := range v.cutting {
		delete(v.older, k)
		if _, held := v.recent[k]; held || len(v.recent) < v.keep/2 {
			v.recent[k] = places
		} else {
			v.dropped()
		}
	}
	v.cutting = nil
}

// unsaved is how many the store does not have yet.
func (v *values) unsaved() int { return len(v.fresh) + len(v.cutting) }

// askValue tells of the event's value if it has to be read first, in the set of its line and in that behind a marker. Where there is no
// such set yet it begins with the event, or with one before it in the record.
func (m *machine) askValue(e *usage.Event, r *resolution, need *needs) {
	rate := m.pricing(m.asPriced(e, r), r)
	if rate == nil {
		return
	}
	ask := func(set activity.ID) {
		key := ValueKey{set, m.hashOf(rate, e.Attribute(rate.Attribute))}
		if _, known := m.distinct.places(&key); !known {
			need.value(key)
		}
	}
	if set, begun := r.f.setOf(rate); begun {
		ask(set)
	}
	if marker := m.openMarker(e, r); marker != nil {
		if set := r.f.setBehind(rate, marker); marker.begun(set) {
			ask(set)
		}
	}
}

func (n *needs) value(k ValueKey) {
	if n.values == nil {
		n.values = map[ValueKey]struct{}{}
	}
	n.values[k] = struct{}{}
}

// provideValues takes the values that were asked for; one without a row was not seen.
func (m *machine) provideValues(ctx context.Context, need *needs, fence Fence, store Store) error {
	stored, err := store.Values(ctx, fence, keys(need.values))
	if err != nil {
		return fmt.Errorf("read %d values: %w", len(need.values), err)
	}
	for k := range need.values {
		m.distinct.recent[k] = 0
	}
	for i := range stored {
		m.distinct.recent[stored[i].ValueKey] = stored[i].Places
	}
	return nil
}

// see puts what is known of the event's value into p.in, all but the state of its set. An event that does not say the attribute has none.
func (p *pricer) see(f *family, e *usage.Event) {
	text := e.Attribute(p.rate.Attribute)
	if text == "" {
		return
	}
	set, begun := f.setOf(p.rate)
	p.valueKey.Hash = p.hashOf(p.rate, text)
	p.value = price.Value{Within: p.within}
	if begun {
		p.valueKey.Set = set
		var known bool
		if p.value.Places, known = p.distinct.places(&p.valueKey); !known {
			panic(fmt.Sprintf("bug: the value of event %s/%s was not asked for before its step", e.Source, e.ID))
		}
	} else {
		p.valueKey.Set = activity.SetID(f.id, p.rate.Cell, p.rate.Attribute, p.offset)
	}
	p.value.Set = p.valueKey.Set
	p.in.Value = &p.value
}

// hashOf names a value under the rate.
func (p *pricer) hashOf(r *catalog.Rate, text string) [16]byte {
	hash := xxh3.HashString128(text).Bytes()
	if p.faults != nil && p.faults.CountedByPlace {
		hash[0] ^= byte(r.Start >> 40)
	}
	return hash
}

// setOf names the set in which the family counts values under the rate, if one has begun.
func (f *family) setOf(r *catalog.Rate) (set activity.ID, begun bool) {
	for i := range f.lines {
		if u := f.lines[i].unique(r); u != nil {
			return u.Set, true
		}
	}
	return set, false
}

// unique gives the state of some segment in which values are counted with those under the rate, nil: there is none.
func (l *line) unique(r *catalog.Rate) *price.Unique {
	at, found := l.placeOf(r)
	if found {
		u, _ := l.segments[at].state.Rest.UniqueOf()
		return u
	}
	attribute := price.Shape(r) >> 8
	for _, step := range [...]int{-1, 1} {
		from := at
		if step < 0 {
			from--
		}
		for i := from; i >= 0 && i < len(l.segments) && l.segments[i].cell == r.Cell; i += step {
			if l.segments[i].attribute() == attribute {
				u, _ := l.segments[i].state.Rest.UniqueOf()
				return u
			}
		}
	}
	return nil
}

// holds is the state of a set that the family counts.
func (f *family) holds(set activity.ID) SetState {
	return SetState{Set: set, Owed: f.owed, End: f.period.End}
}

// newest gives the newest state of the set in the family's lines, nil: it begins.
func (f *family) newest(set activity.ID) (newest *price.Unique) {
	for i := range f.lines {
		newest, _ = newestOf(newest, f.lines[i].segments, set)
	}
	return newest
}

// newestOf gives the newest of a state of the set and those in the segments, with the segment that has it.
func newestOf(newest *price.Unique, segments []segment, set activity.ID) (*price.Unique, *segment) {
	var of *segment
	for i := range segments {
		if u := newer(newest, &segments[i].state, set); u != newest {
			newest, of = u, &segments[i]
		}
	}
	return newest, of
}

// newestIn gives the newest state of the set in a cell.
func newestIn(cell []price.Segment, set activity.ID) (newest *price.Unique) {
	for i := range cell {
		newest = newer(newest, &cell[i].State, set)
	}
	return newest
}

func newer(u *price.Unique, s *price.State, set activity.ID) *price.Unique {
	if other, _ := s.Rest.UniqueOf(); other != nil && other.Set == set && (u == nil || other.Changes > u.Changes) {
		return other
	}
	return u
}

// seen keeps where the value of the event, which now counts on the family, was seen.
func (p *pricer) seen(f *family, after *price.State) {
	if p.value.Of == nil {
		p.distinct.begin(f.holds(p.valueKey.Set))
	}
	_, place := after.Rest.UniqueOf()
	if p.value.Places&place == 0 {
		p.distinct.fresh[p.valueKey] = p.value.Places | place
	}
}

// attribute is not 0 where values of an attribute are counted.
func (s *segmentKey) attribute() uint64 { return s.shape >> 8 }
