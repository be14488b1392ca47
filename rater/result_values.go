package rater

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// Where usage is rated anew, distinct values are counted in sets that begin with the marker, of two parts (price.Joined). What the job
// counts comes as records of values, before the result, and goes where values go. What comes behind the marker is counted by the second states, and
// where a value has come from the job, or comes from it later, they note the difference that it makes. A result counts when as many
// values of each set have been read as it has.

// setBehind names the set in which the family counts values under the rate behind the marker.
func (f *family) setBehind(r *catalog.Rate, marker *MarkerState) activity.ID {
	return activity.SetID(f.id, r.Cell, r.Attribute, marker.At)
}

// set finds a set that has begun behind the marker.
func (s *MarkerState) set(set activity.ID) (at int, begun bool) {
	return slices.BinarySearchFunc(s.Sets, set, func(s MarkerSet, set activity.ID) int { return bytes.Compare(s.Set[:], set[:]) })
}

func (s *MarkerState) begun(set activity.ID) bool {
	_, begun := s.set(set)
	return begun
}

// counting begins a set behind the marker, or notes that more values of it are read, and gives the account's new state.
func (m *machine) counting(s *MarkerState, set activity.ID, read int64) *MarkerState {
	next := *s
	at, begun := s.set(set)
	if next.Sets = slices.Clone(s.Sets); !begun { // a cut in flight may hold the old ones
		m.distinct.begin(SetState{Set: set, End: math.MaxInt64}) // what is read decides what counts, and must not be deleted meanwhile
		next.Sets = slices.Insert(next.Sets, at, MarkerSet{Set: set})
	}
	next.Sets[at].Read += read
	m.setMarker(s, next)
	return &next
}

// secondCount gives the newest state of the set in what the family has gathered behind the marker, and whose it is; nil: none.
func (f *family) secondCount(set activity.ID, marker *MarkerState) (newest *price.Unique, of *segment) {
	if f.gathers != marker.At+1 {
		return nil, nil
	}
	for i := range f.lines {
		if x := f.lines[i].second; x != nil {
			u, s := newestOf(newest, x.segments, set)
			if u != newest {
				newest, of = u, s
			}
		}
	}
	return newest, of
}

// seeBehind puts what is known of the event's value behind the marker into m.in.
func (m *machine) seeBehind(f *family, e *usage.Event, marker *MarkerState) {
	key := ValueKey{f.setBehind(m.rate, marker), m.valueKey.Hash}
	m.behind = price.Value{Set: key.Set, Within: price.SecondPlaces}
	if marker.begun(key.Set) {
		places, known := m.distinct.places(&key)
		if !known {
			panic(fmt.Sprintf("bug: the value of event %s/%s behind a marker was not asked for before its step", e.Source, e.ID))
		}
		m.behind.Of, _ = f.secondCount(key.Set, marker)
		m.behind.Places = places
	}
	m.in.Value = &m.behind
}

// seenBehind keeps where the value of the event was seen behind the marker, and gives the account's state with it.
func (m *machine) seenBehind(f *family, after *price.State, marker *MarkerState) *MarkerState {
	key := ValueKey{m.behind.Set, m.valueKey.Hash}
	if !marker.begun(key.Set) {
		marker = m.counting(marker, key.Set, 0)
	}
	_, place := after.Rest.UniqueOf()
	if m.behind.Places&place == 0 {
		m.distinct.fresh[key] = m.behind.Places | place
	}
	return marker
}

// takesValues says whether the values belong to the account's open marker.
func (s *MarkerState) takesValues(v *usage.Values) bool {
	return s.Open && !s.Over && s.Seq == v.Seq && s.Attempt == v.Attempt && s.At == v.At
}

// prepareValues reads which of a job's values are there already, and the family that counts them behind the marker.
func (m *machine) prepareValues(v *usage.Values, need *needs) {
	s, ok := m.markerOf(v.Account, need)
	if !ok || !s.takesValues(v) || !s.begun(v.Set) {
		return
	}
	if m.families[v.Family] == nil {
		need.family(v.Family)
	}
	for i := range v.Values {
		key := ValueKey{v.Set, v.Values[i].Hash}
		if _, known := m.distinct.places(&key); !known {
			need.value(key)
		}
	}
}

// countedBefore takes values that were counted before a marker.
func (m *machine) countedBefore(v *usage.Values) {
	s := m.markers[v.Account]
	if !s.takesValues(v) {
		return
	}
	begun := s.begun(v.Set)
	f := m.families[v.Family]
	var second *price.Unique
	var of *segment
	if begun && f != nil {
		m.uses++
		f.lastUsed = m.uses
		second, of = f.secondCount(v.Set, s)
	}
	read := int64(0)
	for i := range v.Values {
		x := &v.Values[i]
		key := ValueKey{v.Set, x.Hash}
		before := uint64(0)
		if begun {
			var known bool
			if before, known = m.distinct.places(&key); !known {
				panic("bug: values of a job were not asked for before their step")
			}
		}
		if before&x.Places == x.Places { // read again
			continue
		}
		if before != 0 && !m.faults.BothPartsCount {
			second = second.Also(x.Places, before)
		}
		m.distinct.fresh[key] = before | x.Places
		read++
	}
	if of != nil {
		if was, places := of.state.Rest.UniqueOf(); was != second {
			of.state.Rest = price.RestOfUnique(second, places)
			m.touch(f)
		}
	}
	if read > 0 {
		m.counting(s, v.Set, read)
	}
}

// countsRead says whether all values that the lines of a result count are read.
func (m *machine) countsRead(s *MarkerState, lines []usage.ResultLine) (bool, error) {
	newest := map[activity.ID]*price.Unique{}
	for i := range lines {
		if len(lines[i].Segments) == 0 {
			continue
		}
		segments, err := DecodeSegments(lines[i].Segments)
		if err != nil {
			return false, err
		}
		for j := range segments {
			if u, _ := segments[j].State.Rest.UniqueOf(); u != nil {
				newest[u.Set] = newer(newest[u.Set], &segments[j].State, u.Set)
			}
		}
	}
	for set, u := range newest {
		at, begun := s.set(set)
		if (!begun || s.Sets[at].Read < u.Values()) && !m.faults.ValuesUnread {
			return false, nil
		}
	}
	return true, nil
}

// countTogether puts what the result's segments, and those gathered behind the marker, count of values together.
func (g *merging) countTogether(results [][]segment) error {
	first, second := map[activity.ID]*price.Unique{}, map[activity.ID]*price.Unique{}
	all := slices.Clone(results)
	for _, segments := range results {
		newestOfAll(first, segments)
	}
	for i := range g.lines {
		newestOfAll(second, g.lines[i].segments)
		all = append(all, g.lines[i].segments)
	}
	whole := map[activity.ID]*price.Unique{}
	for _, segments := range all {
		for i := range segments {
			u, places := segments[i].state.Rest.UniqueOf()
			if u == nil {
				continue
			}
			if whole[u.Set] == nil {
				var err error
				if whole[u.Set], err = price.Joined(first[u.Set], second[u.Set]); err != nil {
					return err
				}
			}
			segments[i].state.Rest = price.RestOfUnique(whole[u.Set], places)
		}
	}
	return nil
}

// newestOfAll notes the newest state of each set in the segments.
func newestOfAll(newest map[activity.ID]*price.Unique, segments []segment) {
	for i := range segments {
		if u, _ := segments[i].state.Rest.UniqueOf(); u != nil {
			newest[u.Set] = newer(newest[u.Set], &segments[i].state, u.Set)
		}
	}
}

// setsOf notes the sets in which the lines count values.
func setsOf(lines []line, sets map[activity.ID]bool) {
	for i := range lines {
		for j := range lines[i].segments {
			if u, _ := lines[i].segments[j].state.Rest.UniqueOf(); u != nil {
				sets[u.Set] = true
			}
		}
	}
}
