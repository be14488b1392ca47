package catalog

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Refusal says why no rate answers; empty: one does. The values are reasons of rejected usage.
type Refusal string

// The refusals of a resolution.
const (
	RefusedNoRate         Refusal = "no_rate"
	RefusedNotProvisioned Refusal = "not_provisioned"
)

// Answer is the rate that prices an event. Package is the package of pricing.md §2 (K), whatever
// level answered; empty: none.
type Answer struct {
	Rate    *Rate
	Package string
}

// Plan resolves rates and periods for one account at one snapshot. It fills caches on first use;
// any number of goroutines may use it.
type Plan struct {
	snap  *Snapshot
	chain []*Account

	timelines sync.Map // *Product → *timelines
	billed    atomic.Pointer[[]billedSpan]

	mu      sync.Mutex
	classes map[classKey][]*Rate
}

// timelines are one product's answers over time: without a package named, and by package.
type timelines struct {
	plain timeline
	named sync.Map // package id → timeline; bounded by the snapshot's packages
}

// timeline is ordered by from; each span ends where the next begins, the first begins at Always.
type timeline []span

type span struct {
	from    int64
	answer  Answer
	refusal Refusal
}

type classKey struct {
	account        int // index in the chain
	class, product string
}

// NewPlan makes the plan of chain[0], whose parents follow up to the root.
func NewPlan(snap *Snapshot, chain []*Account) (*Plan, error) {
	if snap == nil || len(chain) == 0 {
		return nil, fmt.Errorf("make plan: it needs a snapshot and an account")
	}
	for i, a := range chain {
		parent := ""
		if i+1 < len(chain) {
			parent = chain[i+1].ID
		}
		if a.Parent != parent {
			return nil, fmt.Errorf("make plan of account %s: the parent of %s is %q, the chain goes on with %q", chain[0].ID, a.ID, a.Parent, parent)
		}
		if len(a.Billing) == 0 || a.Zone == nil {
			return nil, fmt.Errorf("make plan of account %s: %s has no billing terms or no zone", chain[0].ID, a.ID)
		}
	}
	return &Plan{snap: snap, chain: chain}, nil
}

// PlanOf makes the plan of an account from accounts that are there with their parents; nil: it is not there, or not all of these are.
func PlanOf(snap *Snapshot, accounts map[string]*Account, id string) (*Plan, error) {
	var chain []*Account
	for id != "" && len(chain) <= len(accounts) { // else the parents do not end
		a := accounts[id]
		if a == nil {
			return nil, nil
		}
		chain, id = append(chain, a), a.Parent
	}
	return NewPlan(snap, chain)
}

// Rebase returns the plan of the same accounts on another snapshot.
func (p *Plan) Rebase(snap *Snapshot) *Plan { return &Plan{snap: snap, chain: p.chain} }

// Account is the account that the plan is for.
func (p *Plan) Account() *Account { return p.chain[0] }

// Chain is the account and its parents up to the root; not to be changed.
func (p *Plan) Chain() []*Account { return p.chain }

// Snapshot is what the plan resolves with.
func (p *Plan) Snapshot() *Snapshot { return p.snap }

// Seq is the snapshot's sequence number.
func (p *Plan) Seq() int64 { return p.snap.seq }

// Resolve finds the rate of the product for usage at t. The package is the one that the event
// names; empty: none. The product must be of the plan's snapshot.
func (p *Plan) Resolve(product *Product, pkg string, t int64) (Answer, Refusal) {
	lines := p.timelinesOf(product)
	if pkg == "" {
		s := lines.plain.at(t)
		return s.answer, s.refusal
	}
	known := p.snap.packages[pkg]
	if known == nil { // the level of packages is silent; nothing to remember
		s := p.resolveAt(product, pkg, t, nil)
		return s.answer, s.refusal
	}
	named, ok := lines.named.Load(known.ID)
	if !ok {
		named, _ = lines.named.LoadOrStore(known.ID, p.compile(product, known.ID)) // the caller's may be part of something large
	}
	s := named.(timeline).at(t)
	return s.answer, s.refusal
}

func (p *Plan) timelinesOf(product *Product) *timelines {
	lines, ok := p.timelines.Load(product)
	if !ok {
		lines, _ = p.timelines.LoadOrStore(product, &timelines{plain: p.compile(product, "")})
	}
	return lines.(*timelines)
}

func (l timeline) at(t int64) *span {
	for i := len(l) - 1; i > 0; i-- { // few spans, and usage is recent
		if l[i].from <= t {
			return &l[i]
		}
	}
	return &l[0]
}

// compile resolves once in every interval between two instants at which anything may change.
func (p *Plan) compile(product *Product, pkg string) timeline {
	cuts := []int64{Always}
	rates := func(list []*Rate) {
		for _, r := range list {
			cuts = append(cuts, r.Start, r.End)
			if r.Currency != p.chain[0].Currency {
				cuts = append(cuts, p.convertsFrom(r))
			}
		}
	}
	rates(product.Rates)
	rates(p.packageRates(pkg, product.ID))
	for i, a := range p.chain {
		for j := range a.Products {
			if x := &a.Products[j]; x.Product == product.ID {
				cuts = append(cuts, x.Start, x.End)
				rates(x.Rates)
			}
		}
		for j := range a.Packages {
			x := &a.Packages[j]
			cuts = append(cuts, x.Start, x.End)
			rates(x.Rates[product.ID])
			rates(p.packageRates(x.Package, product.ID))
		}
		for _, c := range a.Contracts {
			cuts = append(cuts, c.Start, c.End)
			rates(c.Rates[product.ID])
			rates(p.classRates(i, c.RateClass, product.ID))
		}
		if !a.InheritPricing {
			break
		}
	}
	slices.Sort(cuts)
	line := make(timeline, 0, 4)
	for i, from := range cuts {
		if from == Never || i > 0 && cuts[i-1] == from {
			continue
		}
		s := p.resolveAt(product, pkg, from, nil)
		if n := len(line); n > 0 && line[n-1].answer == s.answer && line[n-1].refusal == s.refusal {
			continue
		}
		s.from = from
		line = append(line, s)
	}
	return slices.Clip(line)
}

// classRates gives the rates of a class as the account's contracts reach them: they belong to that
// account and do not begin before the first contract that names the class.
func (p *Plan) classRates(account int, class, product string) []*Rate {
	if p.snap.classes[class] == nil {
		return nil
	}
	rates := p.snap.classes[class].Rates[product]
	if len(rates) == 0 {
		return nil
	}
	key := classKey{account, class, product}
	p.mu.Lock()
	defer p.mu.Unlock()
	if own, ok := p.classes[key]; ok {
		return own
	}
	start := int64(math.MaxInt64)
	for _, c := range p.chain[account].Contracts {
		if c.RateClass == class {
			start = min(start, c.Start)
		}
	}
	own := make([]*Rate, 0, len(rates))
	for _, r := range rates {
		mine := *r
		mine.OwnerAccount, mine.Start, mine.AnewSince = p.chain[account].ID, max(r.Start, start), max(r.AnewSince, start)
		if mine.Matrix != nil {
			mine.Matrix = mine.Matrix.heldBy(&mine)
		}
		own = append(own, &mine)
	}
	if p.classes == nil {
		p.classes = make(map[classKey][]*Rate)
	}
	p.classes[key] = own
	return own
}

// RateByID finds a rate by the definition that owns it and its id, in the snapshot and the chain,
// as Resolve would answer it; nil: it is gone.
func (p *Plan) RateByID(owner Ref, id string) *Rate {
	switch owner.Kind {
	case KindProduct, KindPackage:
		return p.snap.RateByID(owner, id)
	case KindRateClass:
		return p.classRateByID(owner.ID, id)
	case KindAccount:
		return p.accountRateByID(owner.ID, id)
	case KindContract:
		for _, a := range p.chain {
			for _, c := range a.Contracts {
				if c.ID == owner.ID {
					return rateInMap(c.Rates, id)
				}
			}
		}
	}
	return nil
}

func (p *Plan) classRateByID(class, id string) *Rate {
	c := p.snap.classes[class]
	if c == nil {
		return nil
	}
	r := rateInMap(c.Rates, id)
	if r == nil {
		return nil
	}
	for i, a := range p.chain {
		for _, contract := range a.Contracts {
			if contract.RateClass == class {
				return rateIn(p.classRates(i, class, r.Product), id)
			}
		}
	}
	return r
}

func (p *Plan) accountRateByID(account, id string) *Rate {
	for _, a := range p.chain {
		if a.ID != account {
			continue
		}
		for i := range a.Products {
			if r := rateIn(a.Products[i].Rates, id); r != nil {
				return r
			}
		}
		for i := range a.Packages {
			if r := rateInMap(a.Packages[i].Rates, id); r != nil {
				return r
			}
		}
	}
	return nil
}

func rateIn(rates []*Rate, id string) *Rate {
	for _, r := range rates {
		if r.ID == id {
			return r
		}
	}
	return nil
}

func rateInMap(rates map[string][]*Rate, id string) *Rate {
	for _, list := range rates {
		if r := rateIn(list, id); r != nil {
			return r
		}
	}
	return nil
}
