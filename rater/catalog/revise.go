package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Needs names what must be read before a document can be revised: the newest rows of the accounts
// with all their parents, the contracts, all contracts of ContractAccounts, every row of the shared
// kinds, who holds the identifiers and the rate ids, and who uses what is deleted.
type Needs struct {
	Accounts         []string // some are names that only may be accounts
	Contracts        []string
	ContractAccounts []string
	Identifiers      []string
	RateIDs          []string
	Deletes          []Ref
}

// Stored is what was read: see [Needs]. Rows hold deleted definitions too.
type Stored struct {
	Rows       map[Ref]Row
	Holders    map[string][]Holder // by identifier
	RateOwners map[string][]Ref    // by the rate id that was chosen by hand
	Users      map[Ref][]Ref       // by the definition that is used
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
	Fields  []string // of a changed one: its members that differ
	Note    string   // when a change takes effect later
	Deleted bool
	Body    []byte
	Parent  string // an account's parent, a contract's account
	Uses    []Ref  // what it names; kind "rate": ids that were chosen by hand
	Account *AccountIndex
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
	var n Needs
	for _, a := range d.accounts {
		n.Accounts = append(n.Accounts, a.ID)
		if a.Parent != "" {
			n.Accounts = append(n.Accounts, a.Parent)
		}
		n.Identifiers = append(n.Identifiers, a.ID)
		for _, i := range a.Identifiers {
			n.Accounts = append(n.Accounts, i.Value)
			n.Identifiers = append(n.Identifiers, i.Value)
		}
	}
	for _, c := range d.contract {
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
		}
	}
	d.eachRate(func(r *rateDef) {
		if r.ID != "" {
			n.RateIDs = append(n.RateIDs, r.ID)
		}
	})
	for _, list := range []*[]string{&n.Accounts, &n.Contracts, &n.ContractAccounts, &n.Identifiers, &n.RateIDs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
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

	settings  settingsDef
	defined   map[Ref]*place // by the document
	deleted   map[Ref]*place
	accounts  map[string]*accountDef // of the document
	old       map[string]*accountDef // decoded stored ones, nil: unknown
	chosenIDs []chosenID
	notes     map[string]string // by account
	uses      []Ref             // of the definition being written
	rateIDs   map[string]Ref
}

type chosenID struct {
	at *place
	id string
}

// Revise checks the document against what is stored and returns what it changes; definitions that
// stay as they are do not appear. The error is an *Issues. now decides where billing changes and
// identifiers that were left out take effect, nothing else.
func (d *Document) Revise(stored Stored, now int64) ([]Change, error) {
	v := &revision{
		report: report{file: d.name}, doc: d, stored: stored, now: now,
		defined: map[Ref]*place{}, deleted: map[Ref]*place{}, accounts: map[string]*accountDef{},
		old: map[string]*accountDef{}, notes: map[string]string{}, rateIDs: map[string]Ref{},
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
	v.deletions()
	if err := v.err(); err != nil {
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
			v.failOnce(at.member("id"), "is missing")
		} else if first := v.defined[ref]; first != nil {
			v.fail(at.member("id"), "%s %q is defined twice: also in line %d", kind, id, first.line)
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
	for _, x := range v.doc.deletes {
		if ref := (Ref{Kind(x.kind), x.id}); v.defined[ref] != nil {
			v.fail(&x.at, "%s %q is defined and deleted by the same document", ref.Kind, ref.ID)
		}
	}
}

func (v *report) failOnce(at *place, format string, args ...any) {
	if !v.reportedAt(at) {
		v.fail(at, format, args...)
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
	if v.exists(kind, id) {
		return true
	}
	ref := Ref{kind, id}
	word := strings.ReplaceAll(string(kind), "_", " ")
	switch {
	case id == "":
		v.failOnce(at.member(member), "is missing")
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

// changes compares each definition with its stored row.
func (v *revision) changes() ([]Change, error) {
	var changes []Change
	add := func(kind Kind, id, parent string, def any, account *AccountIndex) error {
		body, err := json.Marshal(def)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w", kind, id, err)
		}
		c := Change{Ref: Ref{kind, id}, Action: ActionCreated, Body: body, Parent: parent, Uses: usesOf(def), Account: account}
		row, ok := v.stored.Rows[c.Ref]
		if ok && !row.Deleted {
			if bytes.Equal(row.Body, body) {
				return nil
			}
			c.Action, c.Fields, c.Note = ActionChanged, differing(row.Body, body), v.notes[id]
			if kind != KindAccount {
				c.Note = ""
			}
		}
		changes = append(changes, c)
		return nil
	}
	if v.doc.settings != nil {
		if err := add(KindSettings, settingsID, "", &v.settings, nil); err != nil {
			return nil, err
		}
	}
	for _, p := range v.doc.products {
		if err := add(KindProduct, p.ID, "", p, nil); err != nil {
			return nil, err
		}
	}
	for _, c := range v.doc.classes {
		if err := add(KindRateClass, c.ID, "", c, nil); err != nil {
			return nil, err
		}
	}
	for _, k := range v.doc.packages {
		if err := add(KindPackage, k.ID, "", k, nil); err != nil {
			return nil, err
		}
	}
	for _, a := range v.doc.accounts {
		if err := add(KindAccount, a.ID, a.Parent, a, a.index()); err != nil {
			return nil, err
		}
	}
	for _, c := range v.doc.contract {
		if err := add(KindContract, c.ID, c.Account, c, nil); err != nil {
			return nil, err
		}
	}
	deletes, err := v.deleteChanges()
	return append(changes, deletes...), err
}

// differing lists the members in which two bodies differ, in alphabetical order.
func differing(before, after []byte) []string {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
		return nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if !bytes.Equal(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// usesOf lists what a definition names, each once.
func usesOf(def any) []Ref {
	uses := map[Ref]bool{}
	use := func(kind Kind, id string) {
		if id != "" {
			uses[Ref{kind, id}] = true
		}
	}
	rates := func(list []*rateDef) {
		for _, r := range list {
			use(KindProduct, r.Product)
			use(KindPackage, r.Package)
			if !strings.Contains(r.ID, ":") { // derived ids have one
				use(kindRate, r.ID)
			}
		}
	}
	switch d := def.(type) {
	case *productDef:
		rates(d.Rates)
	case *rateClassDef:
		rates(d.Rates)
	case *packageDef:
		for _, p := range d.Products {
			use(KindProduct, p.Product)
			rates(p.Rates)
		}
	case *accountDef:
		use(KindAccount, d.Parent)
		for _, list := range [][]*provisionDef{d.Products, d.Packages} {
			for _, p := range list {
				use(KindProduct, p.Product)
				use(KindPackage, p.Package)
				rates(p.Rates)
			}
		}
	case *contractDef:
		use(KindAccount, d.Account)
		use(KindRateClass, d.RateClass)
		rates(d.Rates)
	}
	refs := slices.Collect(maps.Keys(uses))
	slices.SortFunc(refs, compareRefs)
	return refs
}

func compareRefs(a, b Ref) int {
	if c := strings.Compare(string(a.Kind), string(b.Kind)); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// deletions checks that nothing that stays uses what goes.
func (v *revision) deletions() {
	for _, x := range v.doc.deletes {
		ref := Ref{Kind(x.kind), x.id}
		if _, ok := v.stored.Rows[ref]; !ok && v.defined[ref] == nil {
			v.fail(&x.at, "there is no %s %q to delete", ref.Kind, ref.ID)
			continue
		}
		users := slices.SortedFunc(slices.Values(v.stored.Users[ref]), compareRefs)
		for _, user := range users {
			if v.deleted[user] == nil && v.defined[user] == nil { // what the document defines was checked by refer
				v.fail(&x.at, "%s %q is still used by %s %q: change or delete that first", ref.Kind, ref.ID, user.Kind, user.ID)
				break
			}
		}
	}
}

func (v *revision) deleteChanges() ([]Change, error) {
	var changes []Change
	seen := map[Ref]bool{}
	for _, x := range v.doc.deletes {
		ref := Ref{Kind(x.kind), x.id}
		row := v.stored.Rows[ref]
		if row.Deleted || seen[ref] {
			continue
		}
		seen[ref] = true
		c := Change{Ref: ref, Action: ActionDeleted, Deleted: true, Body: row.Body}
		switch ref.Kind {
		case KindAccount:
			a := v.oldAccount(ref.ID)
			a.Identifiers = v.endIdentifiers(a.Identifiers, nil)
			body, err := json.Marshal(a)
			if err != nil {
				return nil, fmt.Errorf("encode account %s: %w", a.ID, err)
			}
			c.Body, c.Parent, c.Account = body, a.Parent, a.index()
		case KindContract:
			var d contractDef
			if err := unmarshal(row, &d); err != nil {
				return nil, err
			}
			c.Parent = d.Account
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// chosen refuses rate ids that another rate has.
func (v *revision) chosen(owner Ref) {
	for _, c := range v.chosenIDs {
		if first, ok := v.rateIDs[c.id]; ok {
			v.fail(c.at.member("id"), "the rate id %q is taken by a rate of %s %q", c.id, first.Kind, first.ID)
			continue
		}
		v.rateIDs[c.id] = owner
		for _, other := range v.stored.RateOwners[c.id] {
			if other != owner && v.defined[other] == nil && v.deleted[other] == nil {
				v.fail(c.at.member("id"), "the rate id %q is taken by a rate of %s %q", c.id, other.Kind, other.ID)
			}
		}
	}
	v.chosenIDs = v.chosenIDs[:0]
}

// products, rate classes and packages have no account near: their dates are in UTC.
func (v *revision) shared(prefix, product string) rateOwner {
	return rateOwner{prefix: prefix, currency: v.settings.Currency, zone: time.UTC, product: product, from: Always, to: Never}
}

func (v *revision) products() {
	names := map[string]string{} // identifier → product
	for ref, row := range v.stored.Rows {
		if ref.Kind != KindProduct || row.Deleted || v.defined[ref] != nil || v.deleted[ref] != nil {
			continue
		}
		var d productDef
		if err := unmarshal(row, &d); err != nil {
			v.fail(nil, "%v", err)
			continue
		}
		names[d.ID] = d.ID
		for _, name := range d.Identifiers {
			names[name] = d.ID
		}
	}
	for _, d := range v.doc.products {
		names[d.ID] = d.ID
	}
	for _, d := range v.doc.products {
		for i, name := range d.Identifiers {
			at := &place{up: d.at.member("identifiers"), index: i, line: d.at.line}
			if other, taken := names[name]; taken {
				v.fail(at, "%q already names the product %q", name, other)
				continue
			}
			names[name] = d.ID
		}
		if len(d.Rates) == 0 {
			v.fail(d.at.member("rates"), "is missing: every product needs a default rate")
		}
		v.finishRates(v.shared("product:"+d.ID, d.ID), d.Rates)
		v.refuseOverlaps(listRates(nil, d.Rates, d.ID, Always, Never))
		v.chosen(Ref{KindProduct, d.ID})
	}
}

func (v *revision) classes() {
	for _, d := range v.doc.classes {
		for _, r := range d.Rates {
			v.refer(&r.at, "product", KindProduct, r.Product)
		}
		v.finishRates(v.shared("rate_class:"+d.ID, ""), d.Rates)
		v.refuseOverlaps(listRates(nil, d.Rates, "", Always, Never))
		v.chosen(Ref{KindRateClass, d.ID})
	}
}

func (v *revision) packages() {
	for _, d := range v.doc.packages {
		parents := map[string]string{}
		for _, p := range d.Products {
			if _, twice := parents[p.Product]; twice && p.Product != "" {
				v.fail(p.at.member("product"), "%q is in the package twice", p.Product)
			}
			parents[p.Product] = p.Parent
		}
		for _, p := range d.Products {
			if v.refer(&p.at, "product", KindProduct, p.Product) && p.Parent != "" {
				v.nesting(p, parents)
			}
			o := v.shared("package:"+d.ID+"/"+p.Product, p.Product)
			v.finishRates(o, p.Rates)
			v.refuseOverlaps(listRates(nil, p.Rates, p.Product, Always, Never))
		}
		v.chosen(Ref{KindPackage, d.ID})
	}
}

func (v *revision) nesting(p *packageProductDef, parents map[string]string) {
	if _, ok := parents[p.Parent]; !ok {
		v.fail(p.at.member("parent"), "%q is not a product of this package", p.Parent)
		return
	}
	path := []string{p.Product}
	for up := p.Parent; up != ""; up = parents[up] {
		path = append(path, up)
		if up == p.Product {
			v.fail(p.at.member("parent"), "products are nested in a circle: %s", strings.Join(path, " → "))
			return
		}
		if len(path) > len(parents) {
			return // a circle further up, which is reported there
		}
	}
}
