package rater_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// A partition that is behind its log turns to its stores ever more seldom, and as often as before once it has caught up.
func TestWorkerStretchesIntervalsWhileBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		open(t, p)
		const records, cadence = 160, 250 * time.Millisecond
		b.send(0, records)
		// 30 s behind. Shown when the last time is half as long ago as the partition is behind, in steps of the cadence: after 0.25, 0.5,
		// 1, 2 s, then every second or a step later. Saved after 0.25, 0.75, 1.5, 3, 6 and then every 4 s.
		shown, saved := deliver(t, p, 0, 120, cadence, func(int) int64 { return records })
		if shown < 24 || shown > 36 {
			t.Errorf("shown %d times in 30 s behind, about 32 expected", shown)
		}
		if saved < 9 || saved > 13 {
			t.Errorf("%d checkpoints in 30 s behind, about 11 expected", saved)
		}
		// 10 s in which each record is the last one: each is shown at once, a checkpoint follows every 0.5 s.
		shown, saved = deliver(t, p, 120, records, cadence, func(i int) int64 { return int64(i + 1) })
		if shown < 40 || shown > 46 {
			t.Errorf("shown %d times in 10 s with 40 records, each at once expected", shown)
		}
		if saved < 18 || saved > 22 {
			t.Errorf("%d checkpoints in 10 s, about 20 expected", saved)
		}
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

// With much before it a partition takes its longest intervals at once, from the first change on.
func TestWorkerStretchesIntervalsBeforeABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		open(t, p)
		const records, cadence = 400, 25 * time.Millisecond
		b.send(0, records)
		// 2.75 s, with more than 256 records left
		shown, saved := deliver(t, p, 0, 110, cadence, func(int) int64 { return records })
		if shown != 2 || saved != 0 { // after 1 and 2 s or a little later; the first checkpoint would be due after 4
			t.Errorf("shown %d times, %d checkpoints in 2.75 s before a backlog, 2 and none expected", shown, saved)
		}
		p.Deliver(0, b.usage[0][110:], records)
		within(t, "rated", time.Second, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

// Before a backlog that has waited for long the intervals are longer yet: half of the time that records have waited, up to four times the
// longest of a partition that is just behind.
func TestWorkerStretchesIntervalsWithTheAgeOfABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		p := newProcess(t, b, s)
		defer p.end()
		open(t, p)
		const records, cadence = 700, 100 * time.Millisecond
		b.send(0, records)
		pass(10 * time.Minute)
		// 39 s, with more than 256 records left: the tenth would be due after 40
		shown, saved := deliver(t, p, 0, 390, cadence, func(int) int64 { return records })
		// After 4, 8, … 36 s and after 16 and 32, or a little later; the very first record may be shown at once, when it is rated before what
		// is behind it is seen.
		if shown < 9 || shown > 10 || saved != 2 {
			t.Errorf("shown %d times, %d checkpoints in 39 s before an old backlog, 9 and 2 expected", shown, saved)
		}
		p.Deliver(0, b.usage[0][390:], records)
		within(t, "rated", time.Second, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

// Unsaved work that has reached half of its bound is saved at the usual interval, however far behind the partition is.
func TestWorkerSavesMuchUnsavedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBroker(1), newSettings()
		s.limits.Dirty = 4 // two records change three lines
		p := newProcess(t, b, s)
		defer p.end()
		open(t, p)
		b.send(0, 120)
		for i := range 119 {
			p.Deliver(0, b.usage[0][i:i+1], 120)
			pass(250 * time.Millisecond)
		}
		synctest.Wait()
		if saved := count(t, p, "tollstream_rater_checkpoint_seconds"); saved < 55 || saved > 65 {
			t.Errorf("%d checkpoints in 30 s behind, about 60 expected", saved)
		}
		p.Deliver(0, b.usage[0][119:], 120)
		within(t, "rated", time.Minute, b.ratedAll(s.store, 0))
		b.verify(t, s.store, 0, 0, 0)
	})
}

// open assigns partition 0 and waits until its view is rebuilt. From then on the test delivers.
func open(t *testing.T, p *process) {
	t.Helper()
	p.Assign(0)
	within(t, "open", time.Minute, func() bool { return count(t, p, "tollstream_rater_project_seconds") >= 3 })
	p.change(func() { p.paused[0] = true })
}

// deliver hands the process single records of partition 0, one a cadence, and says how often it turned to its stores meanwhile. With each
// record comes where the log ends.
func deliver(t *testing.T, p *process, from, to int, cadence time.Duration, end func(i int) int64) (shown, saved int) {
	t.Helper()
	shown, saved = -count(t, p, "tollstream_rater_project_seconds"), -count(t, p, "tollstream_rater_checkpoint_seconds")
	for i := from; i < to; i++ {
		p.Deliver(0, p.b.usage[0][i:i+1], end(i))
		pass(cadence)
	}
	synctest.Wait()
	return shown + count(t, p, "tollstream_rater_project_seconds"), saved + count(t, p, "tollstream_rater_checkpoint_seconds")
}

// count returns how often a histogram of the process was observed.
func count(t *testing.T, p *process, name string) int {
	t.Helper()
	families, err := p.metric.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
