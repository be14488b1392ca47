package rater

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// TestNothingOfARecordIsKept rates the logs of a few schedules and looks at all that the machine holds afterwards: no string
// may be a part of a record, which would keep all that was fetched with it in memory, and change with it.
func TestNothingOfARecordIsKept(t *testing.T) {
	for seed := range 20 {
		why, w := simulate(uint64(seed), simMutant{}, false)
		if why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
		for p := range w.usage {
			m := newMachine(&Checkpoint{Partition: int32(p), Last: -1}, 2*24*3600*1e9, Faults{})
			s := &search{t: t, seen: map[uintptr]bool{}}
			for o, u := range w.usage[p] {
				in := &Input{Offset: int64(o), LeaderEpoch: -1, Time: u.time, Value: bytes.Clone(u.value)}
				s.values = append(s.values, in.Value)
				m.decode(in)
				if err := m.load(context.Background(), in, Fence{}, emptyStore{w}, w); err != nil {
					t.Fatal(err)
				}
				if _, err := m.step(in); errors.Is(err, ErrDefinitions) {
					break // the schedule's broker lost some of the log
				} else if err != nil {
					t.Fatal(err)
				}
			}
			s.machine(m)
		}
	}
}

// TestNothingOfAPackageIsKept is the same for events that name a package, which those of the schedules do not.
func TestNothingOfAPackageIsKept(t *testing.T) {
	stores := newBenchStores(t)
	m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
	s := &search{t: t, seen: map[uintptr]bool{}}
	for o, pkg := range []string{"starter", "unknown", "starter"} {
		e := usage.Event{
			ID: fmt.Sprint(o), Source: "s", Account: "acct-00001", RoutingKey: "acct-00001", Product: "data", Package: pkg, Time: benchStart, Quantity: money.One,
			Attributes: []usage.Attribute{{Name: "region", Value: "eu"}},
		}
		in := &Input{Offset: int64(o), Time: benchStart, Value: usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}})}
		s.values = append(s.values, in.Value)
		m.decode(in)
		if err := m.load(context.Background(), in, Fence{}, stores, stores); err != nil {
			t.Fatal(err)
		}
		if rec, err := m.step(in); err != nil || len(rec.Activities) != 1 {
			t.Fatalf("%d activities, %v", len(rec.Activities), err)
		}
	}
	s.machine(m)
}

func address(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func compareAddresses(a, b uintptr) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// search walks over everything that can be reached.
type search struct {
	t       *testing.T
	values  [][]byte // by address
	seen    map[uintptr]bool
	strings int
}

// machine looks at all but what belongs to the record in work.
func (s *search) machine(m *machine) {
	m.record, m.resolved, m.anew, m.out, m.extras = usage.Record{}, nil, nil, activity.Record{}, nil
	slices.SortFunc(s.values, func(a, b []byte) int { return compareAddresses(address(a), address(b)) })
	s.look(reflect.ValueOf(m), "machine")
	if s.strings == 0 {
		s.t.Error("the machine holds no strings")
	}
}

func (s *search) look(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		s.strings++
		text := v.String()
		at := uintptr(unsafe.Pointer(unsafe.StringData(text)))
		i, found := slices.BinarySearchFunc(s.values, at, func(b []byte, at uintptr) int { return compareAddresses(address(b), at) })
		if !found {
			i--
		}
		if len(text) > 0 && i >= 0 && at < address(s.values[i])+uintptr(len(s.values[i])) {
			s.t.Errorf("%s: %q is part of a record", path, text)
		}
	case reflect.Pointer:
		if !v.IsNil() && !s.seen[v.Pointer()] {
			s.seen[v.Pointer()] = true
			s.look(v.Elem(), path)
		}
	case reflect.Interface:
		if !v.IsNil() {
			s.look(v.Elem(), path)
		}
	case reflect.Slice, reflect.Array:
		if k := v.Type().Elem().Kind(); k == reflect.Uint8 || k == reflect.Uint64 {
			return
		}
		for i := range v.Len() {
			s.look(v.Index(i), path+"[]")
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			s.look(it.Key(), path+" key")
			s.look(it.Value(), path+"[]")
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[sync.Map]() && v.CanAddr() {
			(*sync.Map)(unsafe.Pointer(v.UnsafeAddr())).Range(func(key, value any) bool {
				s.look(reflect.ValueOf(key), path+" key")
				s.look(reflect.ValueOf(value), path+"[]")
				return true
			})
			return
		}
		for i := range v.NumField() {
			s.look(v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	}
}
