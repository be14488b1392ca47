package rater

import (
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
)

// planned is an account's plan and what was lately resolved with it: most events of an account resolve as others did
// before, and comparing a few words is a fraction of resolving again.
type planned struct {
	plan  *catalog.Plan
	known []*recalled
}

// recalled is a resolution and what it holds for. It is never changed, since events of the record in work point at it.
type recalled struct {
	resolution
	sentProduct  string // as the events name it
	sentPackage  string
	from, until  int64 // of the event's time
	circumstance uint64
}

// maxRecalled bounds what is remembered of one account: some products, groups and the periods around now.
const maxRecalled = 16

// changed makes everything that is remembered void: other definitions are active, or a period is sealed.
func (m *machine) changed() { m.circumstance++ }

// recall finds the resolution of an event that differs in nothing that resolving looks at.
func (m *machine) recall(p *planned, e *usage.Event) *resolution {
	for _, k := range p.known {
		if k.circumstance != m.circumstance || e.Time < k.from || e.Time >= k.until || k.sentProduct != e.Product || k.sentPackage != e.Package || !k.grouped(e) {
			continue
		}
		m.uses++
		k.f.lastUsed = m.uses
		return &k.resolution
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
func (m *machine) remember(p *planned, e *usage.Event, r *resolution) {
	k := &recalled{resolution: *r, sentProduct: strings.Clone(e.Product), sentPackage: strings.Clone(e.Package), circumstance: m.circumstance}
	k.group = usage.CloneAttributes(r.group)
	if k.from, k.until = p.plan.Constant(r.product, e.Package, e.Time); k.from >= k.until {
		return
	}
	live := p.known[:0]
	for _, old := range p.known {
		if old.circumstance == m.circumstance {
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
