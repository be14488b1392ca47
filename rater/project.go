package rater

import (
	"cmp"
	"slices"

	"github.com/tollstream/tollstream/rater/activity"
)

// live is where the projection of the partition's lines to the live store stands.
type live struct {
	head  Head // the last write that is known to stand there
	stage stage
	page  activity.ID // where the next page of a rebuild begins
	work  *LiveWork   // in flight
	sent  []*family   // whose lines are in flight

	// Lines go out some at a time, however many have changed: a store must answer in bounded time.
	left    int   // of the unshown families, how many still belong to the sweep under way
	began   int64 // log time when the sweep began: all that changed before is shown when it ends
	through int64 // log time up to which everything is shown
	sorted  []versioned
}

// stage says how far a rebuild of the live view has come. A new owner begins with one, since it does not know what
// stands there.
type stage uint8

const (
	stageDue   stage = iota // the fence has to be read again, then the rebuilding head set
	stagePages              // pages of open lines are being written
	stageLast               // the lines that changed meanwhile are written, and the head that readers trust
	stageShown              // the view is whole; only changes are written
)

// LiveWork is one piece of work towards the live store. If Look is set the claim is read first; if Page is set, a page
// of open lines is read and added to the projection. Then the projection is written.
type LiveWork struct {
	Fence      Fence
	Look       bool
	Page       bool
	PageFrom   activity.ID
	PageLimit  int
	EndsAfter  int64 // the page holds lines whose period ends after this instant
	Projection *Projection
}

// LiveResult is what became of a LiveWork.
type LiveResult struct {
	Applied  bool // the projection was written; false: another head stood there, or nobody knows
	PageNext activity.ID
	PageMore bool
}

// keepShown is how long after its end, in nanoseconds of log time, an invoice's lines are part of a rebuild.
const keepShown = int64(40 * 24 * 3600 * 1e9)

// Project returns the next piece of work towards the live store, nil when there is none or one is in flight. With
// always set one is made though no line changed, to move the head's log time.
func (p *Partition) Project(caughtUp, always bool) *LiveWork {
	m, l := p.machine, &p.live
	if l.work != nil || l.stage == stageShown && len(m.unshown) == 0 && !always {
		return nil
	}
	w := &LiveWork{Fence: p.fence, Projection: &Projection{
		Partition: p.fence.Partition, Expect: l.head, Next: Head(p.random()), LogTime: m.logTime, CaughtUp: caughtUp,
	}}
	switch l.stage {
	case stageDue:
		w.Look, w.Projection.Force, w.Projection.Rebuilding = true, true, true
		l.page = activity.ID{}
		if p.faults.RebuildLeavesUnsaved {
			break
		}
		// What is not committed yet is missing from the pages: the last write brings it.
		for _, f := range m.dirty {
			m.show(f)
		}
		for _, f := range p.inCut {
			m.show(f)
		}
	case stagePages:
		w.Page, w.PageFrom, w.PageLimit, w.EndsAfter = true, l.page, p.limits.PageLines, m.logTime-keepShown
		w.Projection.Rebuilding = true
	case stageLast, stageShown:
		p.sweep(w.Projection)
	}
	l.work = w
	return w
}

// sweep puts the next changed lines into the projection. The last of a sweep moves the head's log time.
func (p *Partition) sweep(to *Projection) {
	m, l := p.machine, &p.live
	if l.left == 0 {
		l.left, l.began = len(m.unshown), m.logTime
		l.byVersion(m.unshown)
	}
	n := min(l.left, p.limits.PageLines)
	l.left -= n
	l.sent, m.unshown = m.unshown[:n:n], m.unshown[n:]
	to.Lines = make([]LineState, 0, n+n/8)
	for _, f := range l.sent {
		to.Lines = f.states(to.Lines)
		f.unshown = false
	}
	switch {
	case l.left > 0:
		to.LogTime, to.CaughtUp, to.Rebuilding = l.through, false, l.stage == stageLast
	case len(m.unshown) > 0: // changed since the sweep began
		to.LogTime, to.CaughtUp, l.through = l.began, false, l.began
	default:
		l.through = m.logTime
	}
}

// byVersion orders the families of a sweep by their newest versions. What is rated before they are sent only makes them newer, so each
// part is newer than the one before it, and with that than all that stands there: the store need not compare them line by line.
func (l *live) byVersion(families []*family) {
	l.sorted = l.sorted[:0]
	for _, f := range families {
		newest := int64(0)
		for i := range f.lines {
			newest = max(newest, f.lines[i].version)
		}
		l.sorted = append(l.sorted, versioned{newest, f})
	}
	slices.SortFunc(l.sorted, func(a, b versioned) int { return cmp.Compare(a.version, b.version) })
	for i := range l.sorted {
		families[i] = l.sorted[i].family
	}
	clear(l.sorted)
}

// versioned is a family and its newest version.
type versioned struct {
	version int64
	family  *family
}

// ShowsMore says that the last projection left lines of its sweep for the next, which need not wait.
func (p *Partition) ShowsMore() bool { return p.live.left > 0 }

// Projected takes the result of the work that Project returned.
func (p *Partition) Projected(r LiveResult) {
	l := &p.live
	w := l.work
	l.work, l.sent = nil, nil
	if !r.Applied { // the rebuild brings what this projection held: from memory or, if it was committed meanwhile, from a page
		if p.faults.HeadMovedAtOnce && l.stage == stageShown {
			l.head = w.Projection.Next
			return
		}
		l.stage, l.left = stageDue, 0
		return
	}
	l.head = w.Projection.Next
	switch {
	case l.stage == stageDue:
		l.stage = stagePages
	case l.stage == stagePages && r.PageMore && !p.faults.RebuildOnePage:
		l.page = r.PageNext
	case l.stage == stagePages:
		l.stage = stageLast
	case l.stage == stageLast && l.left == 0:
		l.stage = stageShown
	}
}

// Whole says that the live view is not being rebuilt.
func (p *Partition) Whole() bool { return p.live.stage == stageShown }

// Shown says that the live view is whole and nothing waits to be shown.
func (p *Partition) Shown() bool {
	return p.live.stage == stageShown && p.live.work == nil && len(p.machine.unshown) == 0
}

// show marks the family as changed for the next projection.
func (m *machine) show(f *family) {
	if !f.unshown {
		f.unshown = true
		m.unshown = append(m.unshown, f)
	}
}
