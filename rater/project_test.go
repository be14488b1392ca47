package rater

import (
	"context"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
)

// TestProjectionsAreBounded: however many lines have changed, a projection holds as many as its limit, and the head's
// log time moves when all that changed before it are shown.
func TestProjectionsAreBounded(t *testing.T) {
	const most = 200
	s := newBenchStores(t)
	limits := DefaultLimits()
	limits.PageLines = most
	ctx := context.Background()
	p, err := Open(ctx, 0, Stores{Store: s, Definitions: s, Rated: s}, limits, Faults{}, func() (id [16]byte) { return id })
	if err != nil {
		t.Fatal(err)
	}
	buffer := make([]usage.Event, benchBatch)
	offset := 0
	at := func(offset int) int64 { return benchStart + int64(offset)*1e9 }
	rate := func(records int) {
		t.Helper()
		for range records {
			if _, err := p.Rate(ctx, &Input{Offset: int64(offset), LeaderEpoch: -1, Time: at(offset), Value: benchRecord(nil, 0, offset, buffer)}); err != nil {
				t.Fatal(err)
			}
			offset++
		}
	}
	newest := int64(0) // of the sweep's parts so far
	rate(7)            // 700 events: every one of the 625 accounts has one
	for _, w := range []struct {
		lines      int
		rebuilding bool
		logTime    int64
		meanwhile  int // records rated before the answer
		stage      stage
	}{
		{0, true, at(6), 0, stagePages},
		{0, true, at(6), 0, stageLast},
		{200, true, 0, 0, stageLast}, // a rebuild is whole when its last lines are
		{200, true, 0, 0, stageLast},
		{200, true, 0, 0, stageLast},
		{25, false, at(6), 3, stageShown}, // three records change 300 lines
		{200, false, at(6), 1, stageShown},
		{100, false, at(9), 0, stageShown}, // the sweep ends, of the record that came meanwhile nothing is shown yet
		{100, false, at(10), 0, stageShown},
	} {
		work := p.Project(true, false)
		if work == nil {
			t.Fatalf("nothing to show, want %d lines", w.lines)
		}
		got := work.Projection
		if len(got.Lines) != w.lines || got.Rebuilding != w.rebuilding || got.LogTime != w.logTime {
			t.Errorf("%d lines, rebuilding %v, log time %d, want %+v", len(got.Lines), got.Rebuilding, got.LogTime, w)
		}
		for i := range got.Lines {
			if v := got.Lines[i].Version; v < newest {
				t.Errorf("a line of version %d is shown behind one of %d", v, newest)
			}
		}
		if newest = 0; p.ShowsMore() {
			for i := range got.Lines {
				newest = max(newest, got.Lines[i].Version)
			}
		}
		if more := p.ShowsMore(); got.CaughtUp && more {
			t.Error("caught up with more to show")
		}
		rate(w.meanwhile)
		p.Projected(LiveResult{Applied: true})
		if p.live.stage != w.stage {
			t.Errorf("stage %d, want %+v", p.live.stage, w)
		}
	}
	if !p.Shown() {
		t.Error("not all is shown")
	}
	// What goes wrong in the middle of a sweep is shown by the rebuild.
	rate(4)
	p.Project(true, false)
	p.Projected(LiveResult{})
	if p.ShowsMore() || p.live.stage != stageDue {
		t.Errorf("stage %d, more %v", p.live.stage, p.ShowsMore())
	}
}
