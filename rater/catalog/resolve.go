package catalog

import (
	"fmt"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Step is one level that was asked, in order. Answered marks the level whose rate prices the
// event; the others say why they were passed over.
type Step struct {
	Level    Level
	Account  string // whose level 1 to 4; empty for the defaults
	RateID   string // the rate that was looked at; empty: there was none
	Why      string
	Answered bool
	Lacks    Lack // the exchange rate without which its prices cannot be turned into the account's currency; zero: none
}

// Lack is an exchange rate that is not known on the day or before.
type Lack struct {
	From, To string
	On       money.Date
}

// Explain tells how Resolve comes to its answer for the same arguments.
func (p *Plan) Explain(product *Product, pkg string, t int64) []Step {
	var steps []Step
	p.resolveAt(product, pkg, t, func(s Step) { steps = append(steps, s) })
	return steps
}

// asking is one resolution: what is asked for, and who is told about each step.
type asking struct {
	plan     *Plan
	currency string
	t        int64
	note     func(Step) // nil: nobody
}

func (p *Plan) resolveAt(product *Product, pkg string, t int64, note func(Step)) span {
	k := pkg
	if k == "" {
		k = p.packageOf(product, t)
	}
	out := span{answer: Answer{Package: k}}
	if product.ProvisionedOnly && !p.provisioned(product, t) {
		out.refusal = RefusedNotProvisioned
		if note != nil {
			why := fmt.Sprintf("%s is for accounts that have it, and %s has not at that time", product.ID, p.chain[0].ID)
			note(Step{Level: LevelAccountProduct, Account: p.chain[0].ID, Why: why})
		}
		return out
	}
	q := asking{plan: p, currency: p.chain[0].Currency, t: t, note: note}
	for i, a := range p.chain {
		if r := p.own(q, i, product, k); r != nil {
			out.answer.Rate = r
			return out
		}
		if !a.InheritPricing {
			break
		}
	}
	if k != "" {
		if out.answer.Rate = q.pick(LevelPackageDefault, "", p.packageRates(k, product.ID)); out.answer.Rate != nil {
			return out
		}
	}
	if out.answer.Rate = q.pick(LevelProductDefault, "", product.Rates); out.answer.Rate == nil {
		out.refusal = RefusedNoRate
	}
	return out
}

// own asks levels 1 to 4 of one account of the chain.
func (p *Plan) own(q asking, i int, product *Product, k string) *Rate {
	a := p.chain[i]
	for j := range a.Products {
		if x := &a.Products[j]; x.Product == product.ID {
			if r := q.pick(LevelAccountProduct, a.ID, x.Rates); r != nil {
				return r
			}
		}
	}
	for j := range a.Packages {
		if x := &a.Packages[j]; k != "" && x.Package == k {
			if r := q.pick(LevelAccountPackageProduct, a.ID, x.Rates[product.ID]); r != nil {
				return r
			}
		}
	}
	for _, c := range a.Contracts {
		if !q.inEffect(LevelContract, c) {
			continue
		}
		if r := q.pickContract(c, product.ID, k); r != nil {
			return r
		}
	}
	for _, c := range a.Contracts {
		if c.RateClass == "" || c.Start > q.t || q.t >= c.End {
			continue
		}
		if r := q.pick(LevelRateClass, a.ID, p.classRates(i, c.RateClass, product.ID)); r != nil {
			return r
		}
	}
	return nil
}

func (q asking) inEffect(level Level, c *Contract) bool {
	if c.Start <= q.t && q.t < c.End {
		return true
	}
	if q.note != nil {
		q.note(Step{Level: level, Account: c.Account, Why: fmt.Sprintf("contract %s is not in effect at that time", c.ID)})
	}
	return false
}

// pickContract prefers the contract's rates for the package to those without one.
func (q asking) pickContract(c *Contract, product, k string) *Rate {
	rates := c.Rates[product]
	other := rates
	for _, r := range rates {
		if r.Package != "" { // rare, so that the lists are split only then
			var limited []*Rate
			limited, other = splitByPackage(rates, k)
			if r := q.pick(LevelContract, c.Account, limited); r != nil {
				return r
			}
			break
		}
	}
	return q.pick(LevelContract, c.Account, other)
}

func splitByPackage(rates []*Rate, k string) (limited, other []*Rate) {
	for _, r := range rates {
		switch r.Package {
		case "":
			other = append(other, r)
		case k:
			limited = append(limited, r)
		}
	}
	return limited, other
}

// pick finds the rate whose period contains t: one in the account's currency or, where there is none, one whose prices an exchange
// rate converts, in the catalogue's currency before others, those in the order of the alphabet.
func (q asking) pick(level Level, account string, rates []*Rate) *Rate {
	var foreign *Rate
	for _, r := range rates {
		switch {
		case q.t < r.Start || q.t >= r.End:
			q.skip(level, account, r)
		case r.Currency == q.currency:
			if q.note != nil {
				q.note(Step{Level: level, Account: account, RateID: r.ID, Why: "in effect, in the account's currency", Answered: true})
			}
			return r
		case q.t < q.plan.convertsFrom(r):
			q.skip(level, account, r)
		case foreign == nil || q.before(r, foreign):
			foreign = r
		}
	}
	if foreign != nil {
		if q.note != nil {
			why := fmt.Sprintf("in effect, in %s, which an exchange rate turns into the account's %s", foreign.Currency, q.currency)
			q.note(Step{Level: level, Account: account, RateID: foreign.ID, Why: why, Answered: true})
		}
		return foreign
	}
	if len(rates) == 0 && q.note != nil {
		q.note(Step{Level: level, Account: account, Why: "no rate for the product"})
	}
	return nil
}

// before says whether a rate in another currency than the account's is taken rather than another one.
func (q asking) before(a, b *Rate) bool {
	if first := q.plan.snap.settings.Currency; a.Currency != b.Currency && (a.Currency == first || b.Currency == first) {
		return a.Currency == first
	}
	return a.Currency < b.Currency
}

func (q asking) skip(level Level, account string, r *Rate) {
	if q.note == nil {
		return
	}
	why := fmt.Sprintf("in effect from %s to %s only", instantText(r.Start), instantText(r.End))
	if r.Start <= q.t && q.t < r.End {
		why = fmt.Sprintf("is in %s, the account is in %s, and no exchange rate between them is known", r.Currency, q.currency)
		if from := q.plan.convertsFrom(r); from < Never {
			why += " before " + instantText(from)
		}
		owed, period := q.plan.Billing(q.t)
		if start := max(r.Start, period.Start); start != Always {
			q.note(Step{Level: level, Account: account, RateID: r.ID, Why: why, Lacks: Lack{r.Currency, q.currency, money.DateOf(start, owed.ZoneAt(start))}})
			return
		}
	}
	q.note(Step{Level: level, Account: account, RateID: r.ID, Why: why})
}

func instantText(t int64) string {
	switch t {
	case Always:
		return "the beginning"
	case Never:
		return "the end of time"
	}
	return time.Unix(0, t).UTC().Format(time.RFC3339Nano)
}

func (p *Plan) packageRates(k, product string) []*Rate {
	if pkg := p.snap.packages[k]; pkg != nil {
		if item := pkg.Products[product]; item != nil {
			return item.Rates
		}
	}
	return nil
}

// packageOf is the package provisioned first that contains the product: the account's own, else
// its parents' while it inherits their pricing.
func (p *Plan) packageOf(product *Product, t int64) string {
	for _, a := range p.chain {
		for i := range a.Packages {
			if x := &a.Packages[i]; x.Start <= t && t < x.End && p.contains(x.Package, product.ID) {
				return x.Package
			}
		}
		if !a.InheritPricing {
			break
		}
	}
	return ""
}

func (p *Plan) contains(k, product string) bool {
	pkg := p.snap.packages[k]
	return pkg != nil && pkg.Products[product] != nil
}

// provisioned reports whether the account has the product at t, by itself or inside a package, or
// inherits it together with the pricing of a parent that has.
func (p *Plan) provisioned(product *Product, t int64) bool {
	for _, a := range p.chain {
		for i := range a.Products {
			if x := &a.Products[i]; x.Product == product.ID && x.Start <= t && t < x.End {
				return true
			}
		}
		if !a.InheritPricing {
			break
		}
	}
	return p.packageOf(product, t) != ""
}
