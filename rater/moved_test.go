package rater

import (
	"testing"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// A line that comes before another of its family moves that: each is saved whole, since the store has another line at its place.
func TestMovedLinesAreSavedWhole(t *testing.T) {
	stored := func(faults Faults) []bool {
		p := &Partition{machine: newMachine(&Checkpoint{Last: -1}, DefaultLimits().Window, faults), faults: faults, fence: Fence{InFlight: -1}}
		f := newFamily(activity.ID{1})
		f.open(catalog.Period{Start: 200, End: 300}, "payer", activity.ID{2})
		f.stored = 1
		p.machine.touch(f)
		p.machine.last = 7
		if !p.Freeze() || len(p.cut.Stored) != 1 || !p.cut.Stored[0] {
			t.Fatal("a line that stands is not said to")
		}
		p.commit()
		if at := f.open(catalog.Period{Start: 100, End: 200}, "payer", activity.ID{3}); at != 0 {
			t.Fatalf("the line stands at %d", at)
		}
		p.machine.touch(f)
		p.machine.last = 8
		if !p.Freeze() || len(p.cut.Stored) != 2 || p.cut.Lines[1].Invoice != (activity.ID{2}) {
			t.Fatal("not both lines are saved")
		}
		return p.cut.Stored
	}
	if s := stored(Faults{}); s[0] || s[1] {
		t.Errorf("the moved lines are said to stand: %v", s)
	}
	if s := stored(Faults{MovedAsUsual: true}); !s[0] {
		t.Error("the fault does not show")
	}
}
