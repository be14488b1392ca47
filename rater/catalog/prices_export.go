package catalog

import (
	"slices"
	"strconv"
	"strings"
)

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

func joinValues(values []string) string {
	escaped := make([]string, len(values))
	for i, v := range values {
		text := strings.NewReplacer(`\`, `\\`, "|", `\|`).Replace(v)
		inner := strings.TrimLeft(text, " ")
		text = strings.Repeat(`\s`, len(text)-len(inner)) + inner
		inner = strings.TrimRight(text, " ")
		escaped[i] = inner + strings.Repeat(`\s`, len(text)-len(inner))
	}
	return strings.Join(escaped, "|")
}

// headerOf quotes what would be read as something else behind the dot: match."made by hand".
func headerOf(column string) string {
	head, name, dotted := strings.Cut(column, ".")
	if dotted && (strings.TrimSpace(name) != name || strings.Contains(name, " by ") || strings.HasPrefix(name, `"`) || strings.HasPrefix(name, "`")) {
		return head + "." + strconv.Quote(name)
	}
	return column
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
		s.Rows[0].Cells[i].Text = headerOf(column)
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
