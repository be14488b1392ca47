package catalog

import (
	"slices"
	"strings"
	"time"
)

// maxTreeDepth bounds the chain from an account to its root.
const maxTreeDepth = 32

func (d *accountDef) index() *AccountIndex {
	x := &AccountIndex{RoutingKey: d.RoutingKey}
	for _, b := range d.Billing {
		x.ParentPays = x.ParentPays || b.BillTo == billToParent
	}
	for _, i := range d.Identifiers {
		x.Identifiers = append(x.Identifiers, Identifier{i.Value, i.Start.startAt(), i.End.endAt()})
	}
	return x
}

// oldAccount is the stored account, also a deleted one; nil: there never was one.
func (v *revision) oldAccount(id string) *accountDef {
	if d, ok := v.old[id]; ok {
		return d
	}
	row, ok := v.stored.Rows[Ref{KindAccount, id}]
	if !ok {
		return nil
	}
	d := new(accountDef)
	if err := unmarshal(row, d); err != nil {
		v.fail(nil, "%v", err)
		d = nil
	}
	v.old[id] = d
	return d
}

// accountAfter is the account as the document leaves it; nil: it does not exist.
func (v *revision) accountAfter(id string) *accountDef {
	if d := v.accounts[id]; d != nil {
		return d
	}
	if v.exists(KindAccount, id) {
		return v.oldAccount(id)
	}
	return nil
}

// tree gives accounts what they keep and inherit, and checks the tree.
func (v *revision) tree() {
	for _, d := range v.doc.accounts {
		old := v.oldAccount(d.ID)
		switch {
		case old == nil && d.Currency == "":
			if d.Currency = v.settings.Currency; d.Currency == "" && !v.granted {
				v.fail(d.at.member("currency"), "is missing, and the catalogue has no default: write currency here or at the top")
			}
		case d.Currency == "":
			d.Currency = old.Currency
		case old != nil && d.Currency != old.Currency:
			v.fail(d.at.member("currency"), "cannot change from %s to %s: what was used stays in its currency; create another account", old.Currency, d.Currency)
		}
	}
	for _, d := range v.doc.accounts {
		if d.BillTo == billToParent && d.Parent == "" {
			v.fail(d.at.member("bill_to"), "is parent, but the account has no parent: name one, or leave bill_to out")
			continue
		}
		if d.Parent == "" || v.refer(&d.at, "parent", KindAccount, d.Parent) && v.rooted(d) {
			v.keepParent(d)
			v.bill(d)
		}
		if parent := v.accountAfter(d.Parent); parent != nil && d.BillTo == billToParent && parent.Currency != d.Currency {
			v.fail(d.at.member("currency"), "is %s, but the account is billed to %s, which is in %s: an account has the currency of who pays for it", d.Currency, d.Parent, parent.Currency)
		}
	}
	// An account that the document leaves alone may hang below one that moved: its chain is checked
	// from the account that moved, for a circle always holds one of those.
}

// rooted refuses a circle of parents and chains that are too long.
func (v *revision) rooted(d *accountDef) bool {
	path := []string{d.ID}
	for a := d; a.Parent != ""; {
		if path = append(path, a.Parent); slices.Contains(path[:len(path)-1], a.Parent) {
			if a.Parent == d.ID {
				v.fail(d.at.member("parent"), "accounts are parents of each other in a circle, %s: leave one parent out", strings.Join(path, " → "))
			}
			return false
		}
		if len(path) > maxTreeDepth {
			v.fail(d.at.member("parent"), "is deeper than %d levels below its root", maxTreeDepth)
			return false
		}
		if a = v.accountAfter(a.Parent); a == nil {
			return false // reported where the account itself is defined
		}
	}
	return true
}

// keepParent refuses to move an account that its parent pays or paid for: its usage would go to
// another account's invoices.
func (v *revision) keepParent(d *accountDef) {
	old := v.oldAccount(d.ID)
	if old == nil || old.Parent == d.Parent || !old.index().ParentPays {
		return
	}
	v.fail(d.at.member("parent"), "cannot change from %q to %q: the account is or was billed to its parent, whose invoices hold its usage; create another account",
		old.Parent, d.Parent)
}

// bill writes the account's billing terms and, once, its routing key and its seller.
func (v *revision) bill(d *accountDef) {
	wanted := billingDef{BillTo: d.BillTo, Cycle: d.Cycle, TimeZone: d.TimeZone}
	old := v.oldAccount(d.ID)
	if old == nil {
		d.Billing = []billingDef{wanted}
		d.RoutingKey = v.billingRoot(d)
		if d.Seller = v.settings.Seller.ID; d.Seller == "" {
			d.Seller = defaultSeller
		}
		return
	}
	d.RoutingKey, d.Seller, d.Billing = old.RoutingKey, old.Seller, slices.Clone(old.Billing)
	last := d.Billing[len(d.Billing)-1]
	if last.same(wanted) {
		return
	}
	for len(d.Billing) > 1 && d.Billing[len(d.Billing)-1].Start.startAt() > v.now { // a change that has not begun is replaced
		d.Billing = d.Billing[:len(d.Billing)-1]
	}
	if d.Billing[len(d.Billing)-1].same(wanted) {
		return
	}
	wanted.Start = instantBound(v.periodEnd(d))
	d.Billing = append(d.Billing, wanted)
	v.notes[d.ID] = "billing from " + wanted.Start.String()
}

func (b billingDef) same(other billingDef) bool {
	return b.BillTo == other.BillTo && b.Cycle == other.Cycle && b.TimeZone == other.TimeZone
}

// billingRoot follows who pays now, from an account that is new.
func (v *revision) billingRoot(d *accountDef) string {
	for range maxTreeDepth {
		billTo := d.BillTo
		if old := v.oldAccount(d.ID); old != nil {
			billTo = (&Account{Billing: v.terms(old.Billing)}).billToAt(v.now)
		}
		up := v.accountAfter(d.Parent)
		if billTo != billToParent || up == nil {
			break
		}
		d = up
	}
	return d.ID
}

func (a *Account) billToAt(t int64) string {
	if a.Billing[a.termAt(t)].BillToParent {
		return billToParent
	}
	return ""
}

func (v *revision) terms(defs []billingDef) []BillingTerm {
	terms, err := decodeBilling(&accountDef{Billing: defs})
	if err != nil {
		v.fail(nil, "%v", err)
		return []BillingTerm{{Start: Always, Zone: time.UTC}}
	}
	return terms
}

// periodEnd is where the period ends in which the account is invoiced now: its own or that of the
// account which pays for it. A period that is closed by hand ends with the local day.
func (v *revision) periodEnd(d *accountDef) int64 {
	chain := []*Account{{ID: d.ID, Billing: v.terms(d.Billing)}}
	for up := v.oldAccount(d.Parent); up != nil && len(chain) < maxTreeDepth; up = v.oldAccount(up.Parent) {
		chain = append(chain, &Account{ID: up.ID, Billing: v.terms(up.Billing)})
	}
	s := (&Plan{chain: chain}).billingAt(v.now)
	if s.period.End != Never {
		return s.period.End
	}
	zone := s.account.Billing[s.account.termAt(v.now)].Zone
	local := time.Unix(0, v.now).In(zone)
	return dayStart(local.Year(), local.Month(), local.Day()+1, zone)
}

// provisions finishes the products and packages that accounts have.
func (v *revision) provisions() {
	for _, d := range v.doc.accounts {
		zone := zoneOf(d)
		var own, packaged []listedRate
		for _, p := range d.Products {
			v.refer(&p.at, "product", KindProduct, p.Product)
			from, to := v.provision(d, p, zone, "account:"+d.ID+"/"+p.Product)
			own = listRates(own, p.Rates, p.Product, from, to)
		}
		v.refuseOverlaps(own)
		for _, p := range d.Packages {
			v.refer(&p.at, "package", KindPackage, p.Package)
			for _, r := range p.Rates {
				v.refer(&r.at, "product", KindProduct, r.Product)
			}
			from, to := v.provision(d, p, zone, "account:"+d.ID+"/"+p.Package)
			rates := listRates(nil, p.Rates, "", from, to)
			for i := range rates {
				rates[i].pkg = p.Package
			}
			packaged = append(packaged, rates...)
		}
		v.refuseOverlaps(packaged)
		v.chosen(Ref{KindAccount, d.ID})
	}
}

func (v *revision) provision(d *accountDef, p *provisionDef, zone *time.Location, prefix string) (from, to int64) {
	p.Start.resolve(zone)
	p.End.resolve(zone)
	from, to = p.Start.startAt(), p.End.endAt()
	if from >= to {
		v.fail(p.at.member("end"), "must be after start (%s)", p.Start.in(zone))
		return from, to
	}
	v.finishRates(rateOwner{
		prefix: prefix, currency: d.Currency, zone: zone, product: p.Product, start: p.Start, from: from, to: to,
		what: "the account has it from " + p.Start.in(zone) + " to " + p.End.in(zone),
	}, p.Rates)
	return from, to
}
