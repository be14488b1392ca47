package catalog

import (
	"encoding/json"
	"slices"
	"strings"
)

// owners say for each kind where in a document its definitions stand, and what people call it.
var owners = map[Kind]struct{ list, word string }{
	KindProduct: {"products", "product"}, KindRateClass: {"rate_classes", "rate class"}, KindPackage: {"packages", "package"},
	KindAccount: {"accounts", "account"}, KindContract: {"contracts", "contract"},
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

// textOf gives the text of a member; empty: it has none.
func (n *node) textOf(name string) string {
	if m := n.member(name); m != nil {
		return m.text
	}
	return ""
}

func (n *node) remove(name string) {
	for i := range n.keys {
		if n.keys[i].text == name {
			n.keys, n.items = slices.Delete(n.keys, i, i+1), slices.Delete(n.items, i, i+1)
			return
		}
	}
}

// replace exchanges the elements of a list that are gone for others, in the place of the first of them.
func (n *node) replace(member string, with []*node, gone func(*node) bool) {
	list := n.member(member)
	if list == nil {
		list = &node{form: nodeList, line: n.line}
		n.set(member, n.line, list)
	}
	at := slices.IndexFunc(list.items, gone)
	if at < 0 {
		at = len(list.items)
	}
	kept := slices.DeleteFunc(slices.Clone(list.items[at:]), gone)
	list.items = slices.Concat(list.items[:at], with, kept)
	if list.line == 0 && len(with) > 0 {
		list.line = with[0].line
	}
}

// sheetWriter turns definitions into rows.
type sheetWriter struct {
	rows []map[string]Cell
	used map[string]bool
}

func (w *sheetWriter) add(row map[string]Cell) {
	for column, c := range row {
		if c.Text != "" {
			w.used[column] = true
		}
	}
	w.rows = append(w.rows, row)
}

// ExportPrices writes all rates of the newest rows as a price list; to apply it changes nothing.
func ExportPrices(rows []Row) (*Sheet, error) {
	text, err := ExportJSON(slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Kind == KindExchangeRates }))
	if err != nil {
		return nil, err
	}
	root, err := parseJSON("export.json", text)
	if err != nil {
		return nil, err
	}
	w := &sheetWriter{used: map[string]bool{columnProduct: true, "model": true, "currency": true, "unit_price": true}}
	currency := root.textOf("currency")
	for _, p := range root.list("products") {
		w.rates(p.list("rates"), currency, map[string]string{columnLevel: string(LevelProductDefault), columnProduct: p.textOf("id"), columnName: p.textOf("name"), columnUnit: p.textOf("unit")})
	}
	for _, c := range root.list("rate_classes") {
		w.rates(c.list("rates"), currency, map[string]string{columnLevel: string(LevelRateClass), columnOwner: c.textOf("id")})
	}
	for _, k := range root.list("packages") {
		for _, p := range k.list("products") {
			w.rates(p.list("rates"), currency, map[string]string{columnLevel: string(LevelPackageDefault), columnOwner: k.textOf("id"), columnProduct: p.textOf("product")})
		}
	}
	for _, a := range root.list("accounts") {
		for _, has := range []struct{ list, member, level string }{
			{"products", columnProduct, string(LevelAccountProduct)}, {"packages", columnPackage, string(LevelAccountPackageProduct)},
		} {
			times := map[string]int{}
			for _, p := range a.list(has.list) {
				times[p.textOf(has.member)]++
			}
			for _, p := range a.list(has.list) {
				key := map[string]string{columnLevel: has.level, columnOwner: a.textOf("id"), has.member: p.textOf(has.member)}
				if times[p.textOf(has.member)] > 1 {
					key[columnSince] = p.textOf("start")
				}
				w.rates(p.list("rates"), a.textOf("currency"), key)
			}
		}
	}
	for _, c := range root.list("contracts") {
		w.rates(c.list("rates"), "", map[string]string{columnLevel: string(LevelContract), columnOwner: c.textOf("id")})
	}
	return w.sheet(), nil
}

func (n *node) list(member string) []*node {
	if m := n.member(member); m != nil {
		return m.items
	}
	return nil
}

// rates writes rates: a row each, or one for each tier and price.
func (w *sheetWriter) rates(rates []*node, currency string, key map[string]string) {
	for _, r := range rates {
		own := map[string]Cell{"currency": {Text: currency}}
		for column, text := range key {
			own[column] = Cell{Text: text}
		}
		for _, column := range []string{columnProduct, columnPackage, "id", "currency", "start", "end"} {
			if text := r.textOf(column); text != "" {
				own[column] = Cell{Text: text}
			}
		}
		if r.textOf("model") != string(ModelMatrix) {
			w.price(r, own)
			continue
		}
		w.price(r, own)
		for _, e := range append(slices.Clone(r.list("prices")), r.member("default")) {
			if e != nil {
				w.price(e, own)
			}
		}
	}
}

// price writes the rows of a rate or of a price inside a matrix: what the rate has is in the first of them.
func (w *sheetWriter) price(r *node, key map[string]Cell) {
	row := map[string]Cell{}
	for column, c := range key {
		row[column] = c
	}
	for i, k := range r.keys {
		if !slices.Contains([]string{"tiers", "prices", "default", "product", "package", "id", "currency", "start", "end"}, k.text) {
			flatten(row, k.text, r.items[i])
		}
	}
	tiers := r.list("tiers")
	for i, t := range tiers {
		if i > 0 {
			row = map[string]Cell{"model": row["model"]}
			for column, c := range key {
				row[column] = c
			}
			if m := r.member("match"); m != nil {
				flatten(row, "match", m)
			}
		}
		for j, k := range t.keys {
			flatten(row, k.text, t.items[j])
		}
		w.add(row)
	}
	if len(tiers) == 0 {
		w.add(row)
	}
}

// flatten writes a member into the columns of a row.
func flatten(row map[string]Cell, name string, n *node) {
	switch {
	case name == "dimensions":
		row[name] = Cell{Text: dimensionsText(n)}
	case n.form == nodeObject:
		for i, k := range n.keys {
			flatten(row, name+"."+k.text, n.items[i])
		}
	case n.form == nodeList:
		values := make([]string, len(n.items))
		for i, item := range n.items {
			values[i] = item.text
		}
		row[name] = Cell{Text: joinValues(values)}
	default:
		c := Cell{Text: n.text}
		if name == "level" {
			name = columnAverage
		}
		switch {
		case strings.HasPrefix(name, columnMatch):
			if _, end := spanOf(name); end == "" {
				c.Text = joinValues([]string{n.text})
			}
		case slices.Contains(decimalColumns, name) || strings.HasPrefix(name, columnLimits):
			c.Kind = CellNumber
		case slices.Contains(truthColumns, name):
			c.Kind = CellBool
		}
		row[name] = c
	}
}

func dimensionsText(n *node) string {
	var parts []string
	for _, d := range n.items {
		text := d.textOf("name")
		if strings.Contains(text, "|") || strings.Contains(text, " by ") || strings.Contains(text, " from ") || strings.Contains(d.textOf("from"), "|") || strings.Contains(d.textOf("from"), " by ") ||
			strings.TrimSpace(text) != text || strings.TrimSpace(d.textOf("from")) != d.textOf("from") || strings.HasPrefix(text, "[") {
			return n.json()
		}
		if from := d.textOf("from"); from != "" {
			text += " from " + from
		}
		if by := d.textOf("by"); by != "" {
			text += " by " + by
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " | ")
}

// sheet orders the columns that are used.
func (w *sheetWriter) sheet() *Sheet {
	var columns, free []string
	for _, column := range slices.Concat(keyColumns, rateColumns) {
		if w.used[column] {
			columns = append(columns, column)
		}
	}
	for column := range w.used {
		if !slices.Contains(columns, column) {
			free = append(free, column)
		}
	}
	slices.Sort(free)
	at := slices.Index(columns, "model") + 1
	if slices.Contains(columns, "dimensions") {
		at++
	}
	columns = slices.Insert(columns, at, free...)
	s := &Sheet{Rows: []SheetRow{{Line: 1, Cells: make([]Cell, len(columns))}}, pointOnly: true}
	for i, column := range columns {
		s.Rows[0].Cells[i].Text = column
	}
	for i, row := range w.rows {
		cells := make([]Cell, len(columns))
		for j, column := range columns {
			cells[j] = row[column]
		}
		s.Rows = append(s.Rows, SheetRow{Line: i + 2, Cells: cells})
	}
	return s
}

// json writes a node of texts, lists and objects.
func (n *node) json() string {
	quote := func(s string) string {
		text, err := json.Marshal(s)
		if err != nil {
			return `""`
		}
		return string(text)
	}
	var b strings.Builder
	switch n.form {
	case nodeList:
		b.WriteString("[")
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(item.json())
		}
		b.WriteString("]")
	case nodeObject:
		b.WriteString("{")
		for i, k := range n.keys {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(quote(k.text) + ":" + n.items[i].json())
		}
		b.WriteString("}")
	default:
		return quote(n.text)
	}
	return b.String()
}
