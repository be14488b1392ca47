package rater

import (
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
)

// planned is an account's plan and what was lately resolved with it: most events of an account resolve as others did
// before, and comparing a few words is a fraction of resolving again.
type planned struct {
	name  shortName   // of the account
	known []*recalled // in few while there are not more
	few   [2]*recalled
	plan  *catalog.Plan
}

// recalled is a resolution and what it holds for. It is never changed, since events of the record in work point at it.
type recalled struct {
	from, until  int64 // of the event's time
	circumstance uint64
	sentProduct  string // as the events name it
	sentPackage  string
	resolution
}

// maxRecalled bounds what is remembered of one account: some products, groups and the periods around now.
const maxRecalled = 16

// changed makes everything that is remembered void: other definitions are active, or a period is sealed.
func (m *machine) changed() { m.circumstance++ }

// recallAll recalls what it can of the record in work, nil for other events. Accounts, resolutions and lines are looked up in turns, so
// that the look-ups of one kind, which miss the caches, do so at the same time.
func (m *machine) recallAll() {
	events, touched := m.record.Events, uint64(0)
	m.plans = m.plans[:0]
	for _, hash := range m.hashes {
		touched += m.defs.plans.touch(hash)
	}
	for _, hash := range m.hashes {
		p := m.defs.plans.guess(hash)
		m.plans = append(m.plans, p)
		if p != nil {
			touched += uint64(len(p.known))
		}
	}
	for _, p := range m.plans {
		if p != nil && len(p.known) > 0 {
			touched += p.known[0].touch()
		}
	}
	for i, p := range m.plans {
		if p != nil && !p.name.is(events[i].Account) {
			p = m.defs.plans.of(events[i].Account)
		}
		m.resolved[i] = m.recall(p, &events[i])
	}
	for _, r := range m.resolved {
		if r != nil && len(r.f.lines) > 0 {
			touched += uint64(r.f.lines[0].touch())
		}
	}
	m.touched += touched
}

// touch reads a little of all that recalling will read.
func (k *recalled) touch() uint64 {
	return k.circumstance + uint64(len(k.reason)) + uint64(k.invoice[0])
}

// touch reads a little of all that charging the line will read.
func (l *line) touch() int64 {
	n := l.events + int64(l.target.Invoice[0])
	if len(l.target.Account) > 0 {
		n += int64(l.target.Account[0])
	}
	if len(l.segments) > 0 {
		n += l.segments[0].seq + l.segments[0].state.Events
	}
	if l.termsRate == nil || l.capped {
		n++
	}
	return n
}

// recall finds the resolution of an event that differs in nothing that resolving looks at.
func (m *machine) recall(p *planned, e *usage.Event) *resolution {
	if p == nil {
		return nil
	}
	r := p.recall(m.circumstance, e)
	if r == nil && m.faults.RecallLeavesGroup {
		r = p.ungrouped(m.circumstance, e)
	}
	if r != nil {
		m.uses++
		r.f.lastUsed = m.uses
	}
	return r
}

func (p *planned) recall(circumstance uint64, e *usage.Event) *resolution {
	for _, k := range p.known {
		if k.circumstance != circumstance || e.Time < k.from || e.Time >= k.until || k.sentProduct != e.Product || k.sentPackage != e.Package || !k.grouped(e) {
			continue
		}
		return &k.resolution
	}
	return nil
}

// ungrouped is recall under the fault that leaves the group.
func (p *planned) ungrouped(circumstance uint64, e *usage.Event) *resolution {
	for _, k := range p.known {
		if k.circumstance == circumstance && e.Time >= k.from && e.Time < k.until && k.sentProduct == e.Product && k.sentPackage == e.Package {
			return &k.resolution
		}
	}
	return nil
}

// grouped says whether the event falls into the resolution's group.
func (k *recalled) grouped(e *usage.Event) bool {
	for i := range k.group {
		if e.Attribute(k.group[i].Name) != k.group[i].Value {
			return false
		}
	}
	return true
}

// remember keeps a resolution for later events. That of late usage is not kept: where it goes depends on more.
func (p *planned) remember(words words, circumstance uint64, e *usage.Event, r *resolution) {
	k := &recalled{resolution: *r, sentProduct: words.of(e.Product), sentPackage: words.of(e.Package), circumstance: circumstance}
	k.group = words.attributes(r.group)
	if k.from, k.until = p.plan.Constant(r.product, e.Package, e.Time); k.from >= k.until {
		return
	}
	live := p.known[:0]
	for _, old := range p.known {
		if old.circumstance == circumstance {
			live = append(live, old)
		}
	}
	if len(live) == maxRecalled {
		live = live[:copy(live, live[1:])]
	}
	p.known = append(live, k)
	r.f.recalled = p
}

// forget drops what is remembered of a family that is let go.
func (p *planned) forget(f *family) {
	live := p.known[:0]
	for _, k := range p.known {
		if k.f != f {
			live = append(live, k)
		}
	}
	clear(p.known[len(live):])
	p.known = live
}

// words are strings that much of what is kept has in common: one copy of each serves all, and is mostly in the caches when it is
// compared. A full table is emptied.
type words map[string]string

const maxWords = 4096

// of returns a string that is no part of a record.
func (w words) of(s string) string {
	if s == "" {
		return ""
	}
	kept, ok := w[s]
	if !ok {
		if len(w) == maxWords {
			clear(w)
		}
		kept = strings.Clone(s)
		w[kept] = kept
	}
	return kept
}

func (w words) attributes(list []usage.Attribute) []usage.Attribute {
	if len(list) == 0 {
		return nil
	}
	kept := make([]usage.Attribute, len(list))
	for i := range list {
		kept[i] = usage.Attribute{Name: w.of(list[i].Name), Value: w.of(list[i].Value)}
	}
	return kept
}
