package catalog

import (
	"maps"
	"slices"
	"strings"
)

// Needs names what must be read before a document can be revised: the newest rows of the accounts
// with all their parents, the contracts, all contracts of ContractAccounts, the shared definitions that it names (or every one of
// them but exchange rates, where a product is defined, for its identifiers may be another's, or a rate has an id of its own) and the
// settings, the exchange rates, who holds the identifiers and the rate ids, and who uses what is deleted, or names the groups of what is defined.
type Needs struct {
	AllShared        bool
	Shared           []Ref
	Accounts         []string // some are names that only may be accounts
	Contracts        []string
	ContractAccounts []string
	Identifiers      []string
	RateIDs          []string
	Deletes          []Ref
	Grouped          []Ref // of products that are defined: what formulas name them by, see Stored.Users
	ExchangeRates    []string
	Crossings        bool // all accounts that their parents pay though they are routed apart
	Pools            bool // all definitions that share tiers between accounts
}

// Stored is what was read: see [Needs]. Rows hold deleted definitions too.
type Stored struct {
	Rows       map[Ref]Row
	Holders    map[string][]Holder // by identifier
	RateOwners map[string][]Ref    // by the rate id that was chosen by hand
	Users      map[Ref][]Ref       // by the definition that is used
	Crossings  []Crossing
	Pools      []Pooled
}

// Holder is an account that has or had an identifier.
type Holder struct {
	Account    string
	Start, End int64
}

// Change is one definition as a document leaves it.
type Change struct {
	Ref
	Action  string   // created, changed, deleted
	New     bool     // of a created one: it was never there before
	Fields  []string // of a changed one: its members that differ
	Note    string   // when a change takes effect later
	Deleted bool
	Body    []byte
	Parent  string // an account's parent, a contract's account
	Uses    []Ref  // what it names; kind "rate": ids that were chosen by hand
	Account *AccountIndex
}

// priceless are the members of definitions that no price and no period hangs on.
var priceless = map[Kind][]string{
	KindAccount:   {"name", "terms_days", "class", "late", "identifiers"},
	KindProduct:   {"name", "unit", "identifiers", "tax_code"},
	KindRateClass: {"name"},
	KindPackage:   {"name"},
}

// ConcernsThePast says whether usage that was rated before may cost something else now. What is new has none, except a contract, which
// may begin in the past; and most members of an account say nothing about prices.
func (c *Change) ConcernsThePast() bool {
	switch c.Kind {
	case KindContract:
		return true
	case KindProduct, KindRateClass, KindPackage, KindAccount:
	default:
		return false
	}
	switch c.Action {
	case ActionCreated:
		return false
	case ActionChanged:
		return slices.ContainsFunc(c.Fields, func(name string) bool { return !slices.Contains(priceless[c.Kind], name) })
	}
	return true
}

// AccountIndex is what look-ups need of an account.
type AccountIndex struct {
	RoutingKey  string
	ParentPays  bool // in any billing term
	Identifiers []Identifier
}

// The actions of a change.
const (
	ActionCreated = "created"
	ActionChanged = "changed"
	ActionDeleted = "deleted"
)

func (c Change) String() string {
	s := c.Action + " " + string(c.Kind) + " " + c.ID
	if len(c.Fields) > 0 {
		s += ": " + strings.Join(c.Fields, ", ")
	}
	if c.Note != "" {
		s += " (" + c.Note + ")"
	}
	return s
}

// Needs tells what Revise must be given.
func (d *Document) Needs() Needs {
	n := Needs{AllShared: len(d.products) > 0}
	shared := map[Ref]bool{{KindSettings, settingsID}: true}
	for _, p := range d.products {
		n.Grouped = append(n.Grouped, Ref{kindGroup, p.ID})
	}
	for _, c := range d.classes {
		named(shared, Ref{KindRateClass, c.ID}, c)
	}
	for _, k := range d.packages {
		named(shared, Ref{KindPackage, k.ID}, k)
	}
	for _, a := range d.accounts {
		named(shared, Ref{KindAccount, a.ID}, a)
		n.Accounts = append(n.Accounts, a.ID)
		if a.Parent != "" {
			n.Accounts = append(n.Accounts, a.Parent)
		}
		n.Identifiers = append(n.Identifiers, a.ID)
		n.Pools = n.Pools || a.BillTo == billToParent
		for _, i := range a.Identifiers {
			n.Accounts = append(n.Accounts, i.Value)
			n.Identifiers = append(n.Identifiers, i.Value)
		}
	}
	for _, c := range d.contract {
		named(shared, Ref{KindContract, c.ID}, c)
		n.Contracts = append(n.Contracts, c.ID)
		n.ContractAccounts = append(n.ContractAccounts, c.Account)
		n.Accounts = append(n.Accounts, c.Account)
	}
	for _, x := range d.deletes {
		ref := Ref{Kind(x.kind), x.id}
		n.Deletes = append(n.Deletes, ref)
		switch ref.Kind {
		case KindAccount:
			n.Accounts = append(n.Accounts, x.id)
		case KindContract:
			n.Contracts = append(n.Contracts, x.id)
		case KindExchangeRates:
			n.ExchangeRates = append(n.ExchangeRates, x.id)
		default:
			shared[ref] = true
		}
	}
	for _, x := range d.exchange {
		n.ExchangeRates = append(n.ExchangeRates, x.id())
	}
	d.eachRate(func(r *rateDef) {
		n.AllShared = n.AllShared || r.ID != "" || Model(r.Model) == ModelCapacity
	})
	if !n.AllShared {
		for _, id := range n.ExchangeRates {
			shared[Ref{KindExchangeRates, id}] = true
		}
		n.Shared = slices.SortedFunc(maps.Keys(shared), compareRefs)
	}
	d.eachRate(func(r *rateDef) {
		if r.ID != "" {
			n.RateIDs = append(n.RateIDs, r.ID)
		}
		n.Crossings = n.Crossings || Pool(r.Pool).OverAccounts()
	})
	for _, list := range []*[]string{&n.Accounts, &n.Contracts, &n.ContractAccounts, &n.Identifiers, &n.RateIDs, &n.ExchangeRates} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
}

// named notes the shared definitions that a definition is or names.
func named(shared map[Ref]bool, ref Ref, def any) {
	note := func(ref Ref) {
		if ref.Kind == KindProduct || ref.Kind == KindRateClass || ref.Kind == KindPackage {
			shared[ref] = true
		}
	}
	note(ref)
	eachUse(def, note)
}

func (d *Document) eachRate(visit func(*rateDef)) {
	each := func(rates []*rateDef) {
		for _, r := range rates {
			visit(r)
		}
	}
	for _, p := range d.products {
		each(p.Rates)
	}
	for _, c := range d.classes {
		each(c.Rates)
	}
	for _, k := range d.packages {
		for _, p := range k.Products {
			each(p.Rates)
		}
	}
	for _, a := range d.accounts {
		for _, p := range a.Products {
			each(p.Rates)
		}
		for _, p := range a.Packages {
			each(p.Rates)
		}
	}
	for _, c := range d.contract {
		each(c.Rates)
	}
}

// revision is one document on its way to changes.
type revision struct {
	report
	doc    *Document
	stored Stored
	now    int64

	granted   bool // what the document names and does not define is there
	settings  settingsDef
	defined   map[Ref]*place // by the document
	deleted   map[Ref]*place
	accounts  map[string]*accountDef // of the document
	old       map[string]*accountDef // decoded stored ones, nil: unknown
	chosenIDs []chosenID
	notes     map[string]string // by account
	rateIDs   map[string]chosenRate
}

// chosenID is a rate id that was chosen by hand.
type chosenID struct {
	at      *place
	id      string
	rate    *rateDef
	product string
}

type chosenRate struct {
	owner Ref
	chosenID
}

// Revise checks the document against what is stored and returns what it changes; definitions that
// stay as they are do not appear. The error is an *Issues. now decides where billing changes and
// identifiers that were left out take effect, nothing else.
func (d *Document) Revise(stored Stored, now int64) ([]Change, error) {
	return d.revise(stored, now, false)
}

// revise may take for granted that there is what the document names and what is stored cannot tell.
func (d *Document) revise(stored Stored, now int64, granted bool) ([]Change, error) {
	v := &revision{
		report: report{file: d.name}, doc: d, stored: stored, now: now, granted: granted,
		defined: map[Ref]*place{}, deleted: map[Ref]*place{}, accounts: map[string]*accountDef{},
		old: map[string]*accountDef{}, notes: map[string]string{}, rateIDs: map[string]chosenRate{},
	}
	v.index()
	v.mergeSettings()
	v.products()
	v.classes()
	v.packages()
	v.tree()
	v.provisions()
	v.identifiers()
	v.contracts()
	v.currencies()
	v.exchangeRates()
	v.crossings()
	v.deletions()
	if err := v.err(); err != nil || granted {
		return nil, err
	}
	changes, err := v.changes()
	if err != nil {
		return nil, err
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return changes, nil
}

// index notes what the document defines, refusing what has no id or is there twice.
func (v *revision) index() {
	define := func(kind Kind, id string, at *place) {
		ref := Ref{kind, id}
		if id == "" {
			v.failOnce(at.member("id"), "is missing: give the %s an id", strings.ReplaceAll(string(kind), "_", " "))
		} else if first := v.defined[ref]; first != nil {
			v.fail(at.member("id"), "%s %q is defined twice, also in line %d: leave one of them out", kind, id, first.line)
		} else {
			v.defined[ref] = at
		}
	}
	for _, x := range v.doc.deletes {
		if x.kind == "" || x.id == "" {
			v.fail(&x.at, "needs a kind and an id")
		}
		v.deleted[Ref{Kind(x.kind), x.id}] = &x.at
	}
	for _, p := range v.doc.products {
		define(KindProduct, p.ID, &p.at)
	}
	for _, c := range v.doc.classes {
		define(KindRateClass, c.ID, &c.at)
	}
	for _, k := range v.doc.packages {
		define(KindPackage, k.ID, &k.at)
	}
	for _, a := range v.doc.accounts {
		define(KindAccount, a.ID, &a.at)
		v.accounts[a.ID] = a
	}
	for _, c := range v.doc.contract {
		define(KindContract, c.ID, &c.at)
	}
	for _, x := range v.doc.exchange {
		if id := x.id(); id != "" { // else exchangeRates says what is missing
			define(KindExchangeRates, id, &x.at)
		}
	}
	for _, x := range v.doc.deletes {
		if ref := (Ref{Kind(x.kind), x.id}); v.defined[ref] != nil {
			v.fail(&x.at, "%s %q is defined and deleted by the same document: leave one of the two out", ref.Kind, ref.ID)
		}
	}
}

func (r *report) failOnce(at *place, format string, args ...any) {
	if !r.reportedAt(at) {
		r.fail(at, format, args...)
	}
}

// exists reports whether a definition is there once the document is applied.
func (v *revision) exists(kind Kind, id string) bool {
	ref := Ref{kind, id}
	if v.defined[ref] != nil {
		return true
	}
	row, ok := v.stored.Rows[ref]
	return ok && !row.Deleted && v.deleted[ref] == nil
}

// refer refuses a reference to what is not there.
func (v *revision) refer(at *place, member string, kind Kind, id string) bool {
	ref := Ref{kind, id}
	if v.exists(kind, id) || v.granted && id != "" && v.deleted[ref] == nil {
		return true
	}
	word := strings.ReplaceAll(string(kind), "_", " ")
	switch {
	case id == "":
		v.failOnce(at.member(member), "is missing: name the %s", word)
	case v.deleted[ref] != nil:
		v.fail(at.member(member), "names the %s %q, which the document deletes", word, id)
	default:
		v.fail(at.member(member), "names the %s %q, which does not exist: define it or correct the id", word, id)
	}
	return false
}

func (v *revision) mergeSettings() {
	if row, ok := v.stored.Rows[Ref{KindSettings, settingsID}]; ok {
		if err := unmarshal(row, &v.settings); err != nil {
			v.fail(nil, "%v", err)
		}
	}
	if d := v.doc.settings; d != nil {
		if d.Currency != "" {
			v.settings.Currency = d.Currency
		}
		if d.Seller != (sellerDef{}) {
			v.settings.Seller = d.Seller
			if d.Seller.ID == "" {
				v.settings.Seller.ID = defaultSeller
			}
		}
	}
}

// chosen refuses rate ids that another rate has.
func (v *revision) chosen(owner Ref) {
	for _, c := range v.chosenIDs {
		first, taken := v.rateIDs[c.id]
		switch {
		case !taken:
			v.rateIDs[c.id] = chosenRate{owner, c}
		case !oneCapacity(first.chosenID, c):
			v.taken(c, first.owner)
			continue
		}
		for _, other := range v.stored.RateOwners[c.id] {
			if other == owner || v.defined[other] != nil || v.deleted[other] != nil {
				continue
			}
			same := v.storedCapacity(other, c.id)
			if len(same) == 0 || slices.ContainsFunc(same, func(s chosenID) bool { return !oneCapacity(s, c) }) {
				v.taken(c, other)
			}
		}
	}
	v.chosenIDs = v.chosenIDs[:0]
}

func (v *revision) taken(c chosenID, by Ref) {
	advice := ""
	if Model(c.rate.Model) == ModelCapacity {
		advice = ", which is another product's or says something else: a capacity says the same on each of its products, in one document"
	}
	v.fail(c.at.member("id"), "the rate id %q is taken by a rate of %s %q%s", c.id, by.Kind, by.ID, advice)
}
