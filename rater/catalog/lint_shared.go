package catalog

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
)

// samples are quantities at which a formula or a method of one's own is tried.
var samples = []string{"0", "1", "7", "100", "999.5", "1000", "12345", "1000000"}

// ownPrices tries a formula, or a method of one's own, at some quantities.
func (l *linter) ownPrices(d *rateDef) {
	price, err := ownPrice(d)
	if price == nil || err != nil {
		return // refused, or of another model
	}
	at := d.at.member("expression")
	if Model(d.Model) == ModelCustom {
		at = d.at.member("method")
	}
	needs, line := method.NeedsOf(price), &method.Line{Days: 30}
	negative, failing := false, false
	totals := map[money.Decimal]bool{}
	for _, text := range samples {
		for _, events := range []int64{1, 50} {
			quantity, inEvents := money.MustParse(text), "one event"
			if events > 1 {
				inEvents = strconv.FormatInt(events, 10) + " events"
			}
			total, err := price.Total(method.Usage{Quantity: quantity, Events: events, Line: line})
			switch {
			case err != nil:
				if !failing {
					l.warn("formula-fails", at, "write the case apart, such as quantity > 0 ? … : 0", "has no price for a quantity of %s in %s (%v): such usage is rejected", text, inEvents, err)
				}
				failing = true
			case total.Sign() < 0:
				if !negative {
					l.warn("formula-negative", at, "write max(0, …) around it if usage shall never be paid out", "comes to %s for a quantity of %s in %s: usage would be paid out instead of charged", total, text, inEvents)
				}
				negative = true
			}
			totals[total] = true
		}
	}
	if len(totals) == 1 && !failing && Model(d.Model) == ModelFormula && !strings.Contains(d.Expression, "quantity") && !needs.Days && len(needs.Group) == 0 {
		for total := range totals {
			l.warn("formula-constant", at, "use quantity or events in it, or the model flat", "comes to %s whatever is used", total)
		}
	}
}

// capacityUse is a capacity with the products that have it.
type capacityUse struct {
	rate     *rateDef
	products []string
}

// capacities looks at rates of the model capacity with all the products that have them.
func (l *linter) capacities() {
	uses := map[string]*capacityUse{}
	var order []string
	l.eachPrice(func(r *rateDef, product, _ string) {
		if Model(r.Model) != ModelCapacity {
			return
		}
		if uses[r.ID] == nil {
			uses[r.ID] = &capacityUse{rate: r}
			order = append(order, r.ID)
		}
		if !slices.Contains(uses[r.ID].products, product) {
			uses[r.ID].products = append(uses[r.ID].products, product)
		}
	})
	for _, id := range order {
		l.capacity(uses[id])
	}
}

func (l *linter) capacity(u *capacityUse) {
	limited := map[string]bool{}
	for i := range u.rate.Tiers {
		t := &u.rate.Tiers[i]
		for product := range t.Limits {
			limited[product] = true
		}
		for j := range u.rate.Tiers[:i] {
			if t.holdsNoMore(&u.rate.Tiers[j]) {
				l.warn("capacity-tier", &t.at, "raise its limits, or leave it out", "is never reached: tier %d holds all that it holds", j+1)
				break
			}
		}
	}
	for _, product := range sortedNames(limited) {
		if !slices.Contains(u.products, product) && !l.partial {
			l.warn("capacity-limit", u.rate.at.member("tiers"), "write the rate, with the same id, on "+product+" too, or leave the limit out",
				"limits %s, which does not have the rate %s: what is used of it is not counted", product, u.rate.ID)
		}
	}
	if len(u.rate.Tiers) < 2 {
		return
	}
	for _, product := range u.products {
		if !limited[product] {
			l.note("capacity-unlimited", u.rate.at.member("tiers"), "give it a limit in some tier, or take the rate off it", "no tier limits %s: how much is used of it decides nothing", product)
		}
	}
	if len(u.products) == 1 && !l.partial {
		l.note("capacity-alone", u.rate.at.member("id"), "write it on the other products that share the capacity, or use the model volume with flat prices",
			"only %s has the capacity %s: nothing shares it", u.products[0], u.rate.ID)
	}
}

// holdsNoMore says whether whatever the tier holds, the other one holds too.
func (t *tierDef) holdsNoMore(other *tierDef) bool {
	for product, most := range other.Limits {
		own, limited := t.Limits[product]
		if !limited || own.Cmp(most) > 0 {
			return false
		}
	}
	return true
}

func sortedNames(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// eachPrice visits the rates with their product and, inside a package, its id.
func (l *linter) eachPrice(visit func(r *rateDef, product, pkg string)) {
	for _, p := range l.d.products {
		for _, r := range p.Rates {
			visit(r, p.ID, "")
		}
	}
	for _, c := range l.d.classes {
		for _, r := range c.Rates {
			visit(r, r.Product, "")
		}
	}
	for _, k := range l.d.packages {
		for _, p := range k.Products {
			for _, r := range p.Rates {
				visit(r, p.Product, k.ID)
			}
		}
	}
	for _, a := range l.d.accounts {
		for _, p := range a.Products {
			for _, r := range p.Rates {
				visit(r, p.Product, "")
			}
		}
		for _, p := range a.Packages {
			for _, r := range p.Rates {
				visit(r, r.Product, p.Package)
			}
		}
	}
	for _, c := range l.d.contract {
		for _, r := range c.Rates {
			visit(r, r.Product, r.Package)
		}
	}
}

// pools finds tiers that are shared where nobody is there to share them. It knows only whole catalogues.
func (l *linter) pools() {
	holding := map[string]int{} // packages that hold a product
	for _, k := range l.d.packages {
		for _, p := range k.Products {
			holding[p.Product]++
		}
	}
	paid := slices.ContainsFunc(l.d.accounts, func(a *accountDef) bool { return a.BillTo == billToParent })
	l.eachPrice(func(r *rateDef, product, pkg string) {
		at := r.at.member("pool")
		switch Pool(r.Pool) {
		case PoolInvoice:
			if !paid && len(l.d.accounts) > 0 {
				l.note("pool-alone", at, "write pool: account, or bill accounts to a parent", "no account pays for another, so nobody shares these tiers")
			}
		case PoolPackage:
			if pkg == "" && holding[product] == 0 {
				l.warn("pool-alone", at, "add the product to a package, or write pool: account", "no package holds %s, and usage outside of packages shares nothing", product)
			}
		case PoolAccount:
			p := l.products[product]
			if Model(r.Model) != ModelCapacity && p != nil && len(p.GroupBy) == 0 && holding[product] == 0 {
				l.note("pool-alone", at, "leave pool out", "%s has no group_by and is in no package, so an account has one line of it and nothing to share", product)
			}
		}
	})
}
