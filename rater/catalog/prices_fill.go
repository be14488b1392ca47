package catalog

import (
	"encoding/json"
	"slices"
)

// owners say for each kind where in a document its definitions stand, and what people call it.
var owners = map[Kind]struct{ list, word string }{
	KindProduct: {"products", "product"}, KindRateClass: {"rate_classes", "rate class"}, KindPackage: {"packages", "package"},
	KindAccount: {"accounts", "account"}, KindContract: {"contracts", "contract"},
}

// Missing names the definitions that Fill needs and that are not among the rows; empty for a document that is no price list.
func (d *Document) Missing(rows map[Ref]Row) (missing []Ref) {
	if d.prices == nil {
		return nil
	}
	want := func(kind Kind, id string) {
		ref := Ref{kind, id}
		if _, ok := rows[ref]; !ok && !slices.Contains(missing, ref) {
			missing = append(missing, ref)
		}
	}
	want(KindSettings, settingsID)
	for _, g := range d.prices.groups {
		kind, id := g.owned()
		want(kind, id)
		var c contractDef
		if json.Unmarshal(rows[Ref{kind, id}].Body, &c) == nil && c.Account != "" { // a contract, whose account's zone makes instants dates
			want(KindAccount, c.Account)
		}
	}
	return missing
}

// owned is the definition that holds the group's rates.
func (g *priceGroup) owned() (Kind, string) {
	switch Level(g.level) {
	case LevelRateClass:
		return KindRateClass, g.owner
	case LevelPackageDefault:
		return KindPackage, g.owner
	case LevelContract:
		return KindContract, g.owner
	case LevelAccountProduct, LevelAccountPackageProduct:
		return KindAccount, g.owner
	}
	return KindProduct, g.product
}

// Fill puts the rates of a price list into the definitions that are there; a document that is no price list stays as it is. Products and
// rate classes that there are not come into being. The error is an *Issues.
func (d *Document) Fill(rows map[Ref]Row) error { return d.fill(rows, false) }

// fillGranted fills a price list in without knowing what is there.
func (d *Document) fillGranted() error { return d.fill(nil, true) }

func (d *Document) fill(rows map[Ref]Row, granted bool) error {
	l := d.prices
	if l == nil {
		return nil
	}
	list := make([]Row, 0, len(rows))
	for _, row := range rows {
		if row.Kind != KindExchangeRates {
			list = append(list, row)
		}
	}
	text, err := ExportJSON(list)
	if err != nil {
		return err
	}
	stored, err := parseJSON("export.json", text)
	if err != nil {
		return err
	}
	stored.move(0)
	f := &filler{priceList: l, stored: stored, granted: granted, root: object(0), defs: map[Ref]*node{}}
	for _, g := range l.groups {
		f.fill(g)
	}
	r := &reader{l.report}
	if r.count() == 0 {
		d.root = &place{sheet: l}
		r.object(f.root, d.root, d.fields(r))
	}
	d.prices = nil
	return r.err()
}

// unknownAccount stands for the account of a contract that is not at hand.
const unknownAccount = "-"

// filler puts groups of rates into definitions.
type filler struct {
	*priceList
	stored  *node // the definitions as a document
	granted bool
	root    *node
	defs    map[Ref]*node
}

// definition gives a definition as the document will have it; nil: there is none, which is refused unless it may be new.
func (f *filler) definition(g *priceGroup) *node {
	kind, id := g.owned()
	ref := Ref{kind, id}
	if n := f.defs[ref]; n != nil {
		return n
	}
	var n *node
	if list := f.stored.member(owners[kind].list); list != nil {
		for _, item := range list.items {
			if name := item.member("id"); name != nil && name.text == id {
				n = item
			}
		}
	}
	if n == nil {
		if kind != KindProduct && kind != KindRateClass && !f.granted {
			f.fail(f.cell(g.line, columnOwner), "names the %s %q, which does not exist: define it in a document, or correct the id", owners[kind].word, shorten(id))
			return nil
		}
		n = object(g.line)
		n.set("id", g.line, scalar(g.line, id))
		if kind == KindContract {
			n.set("account", g.line, scalar(g.line, unknownAccount))
		}
	}
	f.defs[ref] = n
	list := f.root.member(owners[kind].list)
	if list == nil {
		list = &node{form: nodeList}
		f.root.set(owners[kind].list, 0, list)
	}
	list.items = append(list.items, n)
	return n
}

func (f *filler) fill(g *priceGroup) {
	def := f.definition(g)
	if def == nil {
		return
	}
	rates := make([]*node, len(g.rates))
	for i, p := range g.rates {
		rates[i] = f.rate(g, p)
	}
	product := func(n *node) bool { return n.textOf("product") == g.product }
	switch Level(g.level) {
	case LevelProductDefault:
		def.replace("rates", rates, func(*node) bool { return true })
		for _, x := range []struct{ name, text string }{{"name", g.name}, {"unit", g.unit}} {
			if x.text != "" {
				def.remove(x.name)
				def.set(x.name, g.line, scalar(g.line, x.text))
			}
		}
	case LevelRateClass:
		def.replace("rates", rates, product)
	case LevelContract:
		def.replace("rates", rates, func(n *node) bool { return product(n) && n.textOf("package") == g.pkg })
	case LevelPackageDefault:
		if has := f.provision(g, def, "products", "product", g.product); has != nil {
			has.replace("rates", rates, func(*node) bool { return true })
		}
	case LevelAccountProduct:
		if has := f.provision(g, def, "products", "product", g.product); has != nil {
			has.replace("rates", rates, func(*node) bool { return true })
		}
	case LevelAccountPackageProduct:
		if has := f.provision(g, def, "packages", "package", g.pkg); has != nil {
			has.replace("rates", rates, product)
		}
	}
}

// provision finds the product or package that the definition has.
func (f *filler) provision(g *priceGroup, def *node, list, member, id string) *node {
	var found []*node
	if all := def.member(list); all != nil {
		for _, n := range all.items {
			if n.textOf(member) == id && (g.since == "" || n.textOf("start") == g.since) {
				found = append(found, n)
			}
		}
	}
	kind, _ := g.owned()
	switch {
	case len(found) == 1:
		return found[0]
	case len(found) > 1:
		f.fail(f.cell(g.line, columnSince), "is missing: %s has the %s %s more than once, so write the start of the one that is meant", g.owner, member, shorten(id))
	case f.granted:
		n := object(g.line)
		n.set(member, g.line, scalar(g.line, id))
		all := def.member(list)
		if all == nil {
			all = &node{form: nodeList, line: g.line}
			def.set(list, g.line, all)
		}
		all.items = append(all.items, n)
		return n
	case g.since != "":
		f.fail(f.cell(g.line, columnSince), "is %s, and the %s %s has not had the %s %s since then: correct the date, or leave it empty", shorten(g.since), owners[kind].word, g.owner, member, shorten(id))
	default:
		column := columnProduct
		if member == columnPackage {
			column = columnPackage
		}
		f.fail(f.cell(g.line, column), "is %s, which the %s %s has not: add it there in a document first", shorten(id), owners[kind].word, g.owner)
	}
	return nil
}
