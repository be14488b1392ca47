package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A price list holds rates and nothing else: a row a rate, or a row for each of its tiers and prices. The rates of a product at a level
// are replaced by those of the list; what the list does not name stays. It becomes a document in two steps: [ParsePrices] makes nodes of
// the rows, so that whatever reads them knows row and column, and [Document.Fill] puts them into the definitions that are there.

// The columns that say whose price it is. In a row without a product the price of the row above goes on.
const (
	columnLevel   = "level"   // a name of pricing's levels; empty: product_default
	columnOwner   = "owner"   // the account, contract, rate class or package
	columnSince   = "since"   // of an account that has the product or package more than once: the start of which
	columnPackage = "package" // of a rate of a contract or account that holds inside a package
	columnProduct = "product"
	columnName    = "name" // the product's
	columnUnit    = "unit"

	columnAverage = "time_weighted_level" // the rate's member level
	columnMatch   = "match."
	columnLimits  = "limits."
	columnOwn     = "parameters."
)

var keyColumns = []string{columnLevel, columnOwner, columnSince, columnPackage, columnProduct, columnName, columnUnit, "id", "currency", "start", "end"}

// rateColumns are the members of a rate in the order in which they are exported.
var rateColumns = []string{
	"model", "dimensions", "up_to", "unit_price", "flat_price", "amount", "size", "price", "free", "rate", "fixed", "free_events", "free_amount", "min", "max",
	"block_size", "max_blocks", "expression", "method", "included", "maximum", "minimum", "minimum_prorated", "prorate", "aggregation", "attribute", columnAverage,
	"rounding.mode", "rounding.precision", "rounding.on", "rounding.first", "rounding.next", "bounds", "zero_usage_flat", "split", "tiers_restart", "pool",
}

// tierColumns are members of a tier where the model has tiers.
var tierColumns = []string{"up_to", "unit_price", "flat_price", "rate", "block_size", "max_blocks", "price"}

var onlyOfTiers = []string{"up_to", "flat_price", "block_size", "max_blocks"}

var tieredModels = []Model{ModelGraduated, ModelVolume, ModelBlockGraduated, ModelBlockVolume, ModelGraduatedPercentage, ModelCapacity}

// outerColumns hold for all prices of a matrix.
var outerColumns = []string{
	"dimensions", "minimum", "minimum_prorated", "aggregation", "attribute", columnAverage, "rounding.mode", "rounding.precision", "rounding.on", "rounding.first", "rounding.next",
	"tiers_restart", "pool",
}

var (
	decimalColumns = []string{
		"up_to", "unit_price", "flat_price", "amount", "size", "price", "free", "rate", "fixed", "free_events", "free_amount", "min", "max", "block_size", "max_blocks",
		"included", "maximum", "minimum", "rounding.precision", "rounding.first", "rounding.next",
	}
	dateColumns  = []string{columnSince, "start", "end"}
	truthColumns = []string{"split", "tiers_restart", "minimum_prorated"}
	columnAlias  = map[string]string{"valid_from": "start", "valid_until": "end", "from": "start", "until": "end", "rate_id": "id", "currency_code": "currency"}
)

// priceList is a sheet on its way to a document.
type priceList struct {
	report
	columns map[string]int // by name
	kinds   map[string]string
	order   []string // of columns
	mark    decimalMark
	groups  []*priceGroup
	at      map[priceKey]*priceGroup
}

// priceKey is where rates are replaced together.
type priceKey struct{ level, owner, since, pkg, product string }

type priceGroup struct {
	priceKey
	line       int
	name, unit string
	rates      []*priceRows
}

// priceRows are the rows of one rate.
type priceRows struct {
	id, currency, start, end string
	rows                     []priceRow
}

type priceRow struct {
	line  int
	cells map[string]string // those that are not empty
}

// ParsePrices reads a price list. The error is an *Issues.
func ParsePrices(name string, s *Sheet) (*Document, error) {
	l := &priceList{report: report{file: name}, columns: map[string]int{}, kinds: map[string]string{}, at: map[priceKey]*priceGroup{}}
	if len(s.Rows) > maxSheetRows {
		l.fail(nil, "has more than %d rows: split it into several files", maxSheetRows)
		return nil, l.err()
	}
	rows := slices.DeleteFunc(slices.Clone(s.Rows), func(r SheetRow) bool {
		return !slices.ContainsFunc(r.Cells, func(c Cell) bool { return strings.TrimSpace(c.Text) != "" })
	})
	if len(rows) < 2 {
		l.fail(nil, "has no prices: want a header such as product, model, unit_price and a row for each price")
		return nil, l.err()
	}
	l.header(&rows[0])
	if err := l.err(); err != nil {
		return nil, err
	}
	if l.mark = '.'; !s.pointOnly {
		l.mark = l.findMark(rows[1:])
	}
	var above *priceRow
	for i := range rows[1:] {
		if r := l.read(&rows[1+i], s); r != nil {
			l.take(r, above)
			above = r
		}
	}
	if err := l.err(); err != nil {
		return nil, err
	}
	return &Document{name: name, prices: l}, nil
}

// cell is the place of a column in a row.
func (l *priceList) cell(line int, column string) *place {
	return &place{up: &place{sheet: l, line: line}, name: column, line: line}
}

// column names the column of a price list that a place comes from; empty: it comes from none.
func (p *place) column() string {
	var names []string
	whole := false // an element of a list is a row or more
	for ; p != nil; p = p.up {
		if p.up == nil {
			break
		}
		if whole = whole || p.name == ""; !whole {
			names = append(names, p.name)
		}
	}
	if p == nil || p.sheet == nil || len(names) == 0 {
		return ""
	}
	slices.Reverse(names)
	name := strings.Join(names, ".")
	if name == "tiers" || name == "prices" || name == "default" {
		return ""
	}
	name = strings.TrimPrefix(name, "default.")
	if at, known := p.sheet.columns[name]; known {
		return name + " (column " + ColumnName(at) + ")"
	}
	return name
}

func known(column string) bool {
	for _, free := range []string{columnMatch, columnLimits, columnOwn} {
		if rest, ok := strings.CutPrefix(column, free); ok {
			return rest != ""
		}
	}
	return slices.Contains(keyColumns, column) || slices.Contains(rateColumns, column)
}

// header reads the names of the columns: as people write them, too.
func (l *priceList) header(row *SheetRow) {
	words := slices.Concat(keyColumns, rateColumns)
	for i, c := range row.Cells {
		text := strings.TrimSpace(plainText(c.Text))
		if text == "" {
			l.order = append(l.order, "")
			continue
		}
		var name, by string
		if head, rest, dotted := strings.Cut(text, "."); dotted && slices.Contains([]string{columnMatch, columnLimits, columnOwn}, strings.ToLower(head)+".") {
			if name = strings.ToLower(head) + "." + strings.TrimSpace(rest); strings.HasPrefix(name, columnMatch) {
				name, by, _ = strings.Cut(name, " by ")
			}
		} else {
			name = strings.ReplaceAll(strings.ToLower(text), " ", "_")
			if alias := columnAlias[name]; alias != "" {
				name = alias
			}
		}
		at := &place{up: &place{line: row.Line}, name: "column " + ColumnName(i), line: row.Line}
		switch first, twice := l.columns[name]; {
		case !known(name):
			if word := closest(name, words); word != "" {
				l.fail(at, "%q is not known here: did you mean %s?", shorten(text), word)
			} else {
				l.fail(at, "%q is not known here: known are %s, match.NAME, limits.PRODUCT, parameters.NAME", shorten(text), strings.Join(words, ", "))
			}
		case twice:
			l.fail(at, "%q is also column %s: leave one out", shorten(text), ColumnName(first))
		default:
			l.columns[name], l.kinds[name] = i, strings.TrimSpace(by)
		}
		l.order = append(l.order, name)
	}
	if _, has := l.columns[columnProduct]; !has && len(l.issues.List) == 0 {
		l.fail(&place{line: row.Line}, "has no column product: begin with a header such as product, model, unit_price")
	}
}

// numeric says whether a column holds numbers.
func (l *priceList) numeric(column string) bool {
	if name, ok := strings.CutPrefix(column, columnMatch); ok {
		_, end := spanOf(name)
		return end != "" && l.kinds[column] != ByTimeOfDay
	}
	return slices.Contains(decimalColumns, column) || strings.HasPrefix(column, columnLimits)
}

// spanOf splits size.from; end is empty where the name is a dimension's alone.
func spanOf(name string) (dimension, end string) {
	for _, end := range []string{"from", "to"} {
		if dimension, ok := strings.CutSuffix(name, "."+end); ok && dimension != "" {
			return dimension, end
		}
	}
	return name, ""
}

// findMark looks at all numbers for the file's decimal mark.
func (l *priceList) findMark(rows []SheetRow) decimalMark {
	for _, row := range rows {
		for i, c := range row.Cells {
			if i < len(l.order) && c.Kind == CellText && l.numeric(l.order[i]) {
				if mark := tells(compact(strings.TrimSpace(plainText(c.Text)))); mark != 0 {
					return mark
				}
			}
		}
	}
	return 0
}

// read gives a row with its cells as a document writes them.
func (l *priceList) read(row *SheetRow, s *Sheet) *priceRow {
	r := &priceRow{line: row.Line, cells: map[string]string{}}
	before := l.count()
	for i, c := range row.Cells {
		text := plainText(strings.TrimSpace(c.Text))
		switch {
		case text == "":
		case i >= len(l.order) || l.order[i] == "":
			l.fail(&place{up: &place{line: row.Line}, name: "column " + ColumnName(i), line: row.Line}, "holds %q and has no name in the header: name it, or empty its cells", shorten(text))
		default:
			r.cells[l.order[i]] = l.value(l.cell(row.Line, l.order[i]), l.order[i], text, c.Kind, s)
		}
	}
	if l.count() > before {
		return nil
	}
	return r
}

// value writes what a cell holds as a document has it.
func (l *priceList) value(at *place, column, text string, kind CellKind, s *Sheet) string {
	date := slices.Contains(dateColumns, column)
	switch {
	case kind == CellError:
		l.fail(at, "holds the error %s: correct the formula, or write the value", shorten(text))
	case kind == CellNumber && date:
		day, ok := serialDate(text, s.Date1904)
		if !ok {
			l.fail(at, "must be a date (2026-01-31) or an instant (2026-01-31T10:00:00Z), not the number %s: format the cell as a date without a time, or as text", shorten(text))
		}
		return day
	case kind == CellNumber:
		if !l.numeric(column) && len(strings.Trim(strings.ReplaceAll(text, ".", ""), "0")) > spreadsheetDigits {
			l.fail(at, "is the number %s, of which a spreadsheet keeps %d digits: format the cell as text and write it again", shorten(text), spreadsheetDigits)
		}
		stored, ok := storedNumber(text)
		if !ok {
			return text
		}
		return stored
	case date:
		return writtenDate(text)
	case l.numeric(column):
		typed, doubt := number(text, l.mark, s.pointOnly)
		if doubt != "" {
			l.fail(at, "%q %s", shorten(text), doubt)
		}
		return typed
	case slices.Contains(truthColumns, column):
		return strings.ToLower(text)
	}
	return text
}

// take puts a row where its rate is.
func (l *priceList) take(r, above *priceRow) {
	if r.cells[columnProduct] == "" {
		if above == nil {
			l.fail(l.cell(r.line, columnProduct), "is missing: name the product; a row without one goes on with the row above")
			return
		}
		for _, column := range keyColumns {
			if said := r.cells[column]; said != "" && said != above.cells[column] {
				l.fail(l.cell(r.line, column), "is %q and the row has no product: name the product, or leave both empty where the rate of the row above goes on", shorten(said))
				return
			}
			if above.cells[column] != "" {
				r.cells[column] = above.cells[column]
			}
		}
		if r.cells["model"] == "" && above.cells["model"] != string(ModelMatrix) && above.cells["model"] != "" {
			r.cells["model"] = above.cells["model"]
		}
	}
	key := priceKey{r.cells[columnLevel], r.cells[columnOwner], r.cells[columnSince], r.cells[columnPackage], r.cells[columnProduct]}
	if key.level == "" {
		key.level = string(LevelProductDefault)
	}
	if !l.placed(r, key) {
		return
	}
	g := l.at[key]
	if g == nil {
		g = &priceGroup{priceKey: key, line: r.line}
		l.at[key] = g
		l.groups = append(l.groups, g)
	}
	for _, x := range []struct {
		column string
		into   *string
	}{{columnName, &g.name}, {columnUnit, &g.unit}} {
		switch said := r.cells[x.column]; {
		case said == "" || said == *x.into:
		case *x.into != "":
			l.fail(l.cell(r.line, x.column), "is %q here and %q above: the product has one", shorten(said), shorten(*x.into))
		default:
			*x.into = said
		}
	}
	id, currency, start, end := r.cells["id"], r.cells["currency"], r.cells["start"], r.cells["end"]
	for _, rate := range g.rates {
		if rate.id == id && rate.currency == currency && rate.start == start && rate.end == end {
			rate.rows = append(rate.rows, *r)
			return
		}
	}
	g.rates = append(g.rates, &priceRows{id, currency, start, end, []priceRow{*r}})
}

// placed checks that a row says whose price it is.
func (l *priceList) placed(r *priceRow, key priceKey) bool {
	before := l.count()
	needs := func(column string, needed, allowed bool) {
		switch said := r.cells[column]; {
		case said == "" && needed:
			l.fail(l.cell(r.line, column), "is missing: a price of the level %s needs it", key.level)
		case said != "" && !allowed:
			l.fail(l.cell(r.line, column), "is no part of a price of the level %s: leave it empty", key.level)
		}
	}
	list := false
	switch Level(key.level) {
	case LevelProductDefault:
		list = true
		needs(columnOwner, false, false)
		needs(columnPackage, false, false)
		needs(columnSince, false, false)
	case LevelRateClass, LevelPackageDefault:
		needs(columnOwner, true, true)
		needs(columnPackage, false, false)
		needs(columnSince, false, false)
	case LevelContract:
		needs(columnOwner, true, true)
		needs(columnSince, false, false)
	case LevelAccountProduct:
		needs(columnOwner, true, true)
		needs(columnPackage, false, false)
	case LevelAccountPackageProduct:
		needs(columnOwner, true, true)
		needs(columnPackage, true, true)
	default:
		l.fail(l.cell(r.line, columnLevel), "must be product_default (or empty), rate_class, package_default, contract, account_product or account_package_product, not %q", shorten(key.level))
	}
	if !list {
		needs(columnName, false, false)
		needs(columnUnit, false, false)
	}
	return l.count() == before
}

// object is a node on its way.
func object(line int) *node { return &node{form: nodeObject, line: line} }

func scalar(line int, text string) *node { return &node{form: nodePlain, line: line, text: text} }

func (n *node) set(name string, line int, item *node) {
	n.keys, n.items = append(n.keys, nodeKey{name, line}), append(n.items, item)
}

// member finds a member of an object; nil: it has none.
func (n *node) member(name string) *node {
	for i := range n.keys {
		if n.keys[i].text == name {
			return n.items[i]
		}
	}
	return nil
}

// put writes a cell into an object: rounding.mode into the member mode of rounding. What stands before the first dot is a member, the
// rest its name, for those of matches, limits and parameters are free.
func (n *node) put(column string, line int, text string) {
	head, rest, dotted := strings.Cut(column, ".")
	if !dotted {
		n.set(column, line, scalar(line, text))
		return
	}
	inner := n.member(head)
	if inner == nil {
		inner = object(line)
		n.set(head, line, inner)
	}
	inner.set(rest, line, scalar(line, text))
}

// rate makes a node of a rate's rows.
func (l *priceList) rate(g *priceGroup, p *priceRows) *node {
	line := p.rows[0].line
	n := object(line)
	if g.level == string(LevelRateClass) || g.level == string(LevelContract) || g.level == string(LevelAccountPackageProduct) {
		n.set("product", line, scalar(line, g.product))
	}
	if g.level == string(LevelContract) && g.pkg != "" {
		n.set("package", line, scalar(line, g.pkg))
	}
	for _, x := range []struct{ name, text string }{{"id", p.id}, {"currency", p.currency}, {"start", p.start}, {"end", p.end}} {
		if x.text != "" {
			n.set(x.name, line, scalar(line, x.text))
		}
	}
	matched := func(r priceRow) bool {
		return r.cells["model"] == string(ModelMatrix) || slices.ContainsFunc(l.order, func(c string) bool { return strings.HasPrefix(c, columnMatch) && r.cells[c] != "" })
	}
	if slices.ContainsFunc(p.rows, matched) {
		l.matrixRows(n, p.rows)
	} else {
		l.priceRows(n, p.rows, nil)
	}
	return n
}

// priceRows writes the members of a rate, or of a price inside a matrix, into the node; those of outer go there.
func (l *priceList) priceRows(n *node, rows []priceRow, outer *node) {
	model := ""
	for i := range rows {
		r := &rows[i]
		said := r.cells["model"]
		switch {
		case model == "":
			model = said
		case said != "" && said != model:
			l.fail(l.cell(r.line, "model"), "is %q here and %q in line %d, and the rate is the same: give each a start or a currency of its own, or leave one out", shorten(said), model, rows[0].line)
			return
		}
	}
	if model == "" && rows[0].cells["unit_price"] != "" && !slices.ContainsFunc(rows, func(r priceRow) bool { return r.cells["up_to"] != "" || r.cells["flat_price"] != "" }) {
		model = string(ModelPerUnit)
	}
	if model == "" {
		l.fail(l.cell(rows[0].line, "model"), "is missing: use one of %s", listed(models, ", "))
		return
	}
	n.set("model", rows[0].line, scalar(rows[0].line, model))
	tiered := slices.Contains(tieredModels, Model(model))
	tiers := &node{form: nodeList, line: rows[0].line}
	seen := map[string]*priceRow{}
	for i := range rows {
		r := &rows[i]
		if i > 0 && !tiered && outer != nil {
			l.fail(l.cell(r.line, columnProduct), "matches the same as line %d: leave one of the two out", rows[0].line)
			return
		}
		if i > 0 && !tiered {
			l.fail(l.cell(r.line, columnProduct), "is there twice with the same level, owner, currency and start, in line %d too: give one of them another start or currency, or leave it out", rows[0].line)
			return
		}
		tier := object(r.line)
		for _, column := range l.order {
			text := r.cells[column]
			if text == "" || column == "model" || slices.Contains(keyColumns, column) || strings.HasPrefix(column, columnMatch) {
				continue
			}
			member := column
			if column == columnAverage {
				member = "level"
			}
			if tiered && (slices.Contains(tierColumns, column) || strings.HasPrefix(column, columnLimits)) {
				tier.put(member, r.line, text)
				continue
			}
			if !tiered && (slices.Contains(onlyOfTiers, column) || strings.HasPrefix(column, columnLimits)) && slices.Contains(models, Model(model)) {
				l.fail(l.cell(r.line, column), "is part of a tier, and the model %s has none: use a model with tiers such as graduated, or empty the cell", model)
				continue
			}
			if first := seen[column]; first != nil {
				if first.cells[column] != text {
					l.fail(l.cell(r.line, column), "is %q here and %q in line %d: the tiers of a rate have it together", shorten(text), shorten(first.cells[column]), first.line)
				}
				continue
			}
			seen[column] = r
			if outer != nil && slices.Contains(outerColumns, column) {
				l.outer(outer, member, r.line, text)
				continue
			}
			n.put(member, r.line, text)
		}
		tiers.items = append(tiers.items, tier)
	}
	if tiered {
		n.set("tiers", rows[0].line, tiers)
	}
}

// outer writes what holds for a whole matrix, which each of its rows may say.
func (l *priceList) outer(n *node, member string, line int, text string) {
	at := n
	head, rest, dotted := strings.Cut(member, ".")
	if dotted {
		if at = n.member(head); at == nil {
			at, rest = object(0), ""
		}
		head = rest
	}
	if said := at.member(head); said != nil {
		if said.text != text {
			l.fail(l.cell(line, member), "is %q here and %q in line %d: all prices of a matrix have it together", shorten(text), shorten(said.text), said.line)
		}
		return
	}
	n.put(member, line, text)
}

// matrixRows writes a matrix: a row with the model matrix says what holds for all of it, others are its prices, and one without a match is
// the price for everything else.
func (l *priceList) matrixRows(n *node, rows []priceRow) {
	line := rows[0].line
	n.set("model", line, scalar(line, string(ModelMatrix)))
	prices := &node{form: nodeList, line: line}
	var dimensions *node
	entries := map[string]*[]priceRow{}
	var order []string
	for i := range rows {
		r := &rows[i]
		if r.cells["model"] == string(ModelMatrix) {
			for _, column := range l.order {
				text := r.cells[column]
				switch {
				case text == "" || column == "model" || slices.Contains(keyColumns, column):
				case column == "dimensions":
					dimensions = l.dimensions(r.line, text)
				case strings.HasPrefix(column, columnMatch):
					l.fail(l.cell(r.line, column), "says what is matched beside the model matrix: write the model of that price, such as per_unit")
				case column == columnAverage:
					l.outer(n, "level", r.line, text)
				default:
					l.outer(n, column, r.line, text)
				}
			}
			continue
		}
		if text := r.cells["dimensions"]; text != "" {
			if dimensions == nil {
				dimensions = l.dimensions(r.line, text)
			}
			delete(r.cells, "dimensions")
		}
		var key strings.Builder
		for _, column := range l.order {
			if text := r.cells[column]; text != "" && strings.HasPrefix(column, columnMatch) {
				fmt.Fprintf(&key, "%q=%q;", column, text)
			}
		}
		if entries[key.String()] == nil {
			entries[key.String()] = &[]priceRow{}
			order = append(order, key.String())
		}
		*entries[key.String()] = append(*entries[key.String()], *r)
	}
	if dimensions == nil {
		dimensions = l.impliedDimensions(line, rows)
	}
	n.set("dimensions", dimensions.line, dimensions)
	for _, key := range order {
		list := *entries[key]
		entry := object(list[0].line)
		if key != "" {
			entry.set("match", list[0].line, l.match(&list[0], dimensions))
		}
		l.priceRows(entry, list, n)
		if key == "" {
			n.set("default", list[0].line, entry)
		} else {
			prices.items = append(prices.items, entry)
		}
	}
	n.set("prices", line, prices)
}

// dimensions reads a cell such as: dest by prefix | size by range | tariff from plan. One that begins with a bracket is JSON, as in a document.
func (l *priceList) dimensions(line int, text string) *node {
	list := &node{form: nodeList, line: line}
	if strings.HasPrefix(text, "[") {
		n, err := parseJSON("dimensions", []byte(text))
		if err == nil {
			n.move(line)
			return n
		}
		var issues *Issues
		if errors.As(err, &issues) {
			l.fail(l.cell(line, "dimensions"), "%s", issues.List[0].Message)
		}
		return list
	}
	for part := range strings.SplitSeq(text, "|") {
		n := object(line)
		name, by, hasBy := strings.Cut(strings.TrimSpace(part), " by ")
		name, from, hasFrom := strings.Cut(name, " from ")
		n.set("name", line, scalar(line, strings.TrimSpace(name)))
		if hasFrom {
			n.set("from", line, scalar(line, strings.TrimSpace(from)))
		}
		if hasBy {
			n.set("by", line, scalar(line, strings.TrimSpace(by)))
		}
		list.items = append(list.items, n)
	}
	return list
}

// impliedDimensions are those of the columns that the rows use: match.dest by prefix.
func (l *priceList) impliedDimensions(line int, rows []priceRow) *node {
	list := &node{form: nodeList, line: line}
	seen := map[string]bool{}
	for _, column := range l.order {
		name, ok := strings.CutPrefix(column, columnMatch)
		if !ok || !slices.ContainsFunc(rows, func(r priceRow) bool { return r.cells[column] != "" }) {
			continue
		}
		by := l.kinds[column]
		dimension, end := spanOf(name)
		if end != "" && by == "" {
			by = ByRange
		}
		if seen[dimension] {
			continue
		}
		seen[dimension] = true
		n := object(line)
		n.set("name", line, scalar(line, dimension))
		if by != "" {
			n.set("by", line, scalar(line, by))
		}
		list.items = append(list.items, n)
	}
	return list
}

// match makes the node of what an entry matches.
func (l *priceList) match(r *priceRow, dimensions *node) *node {
	names := map[string]bool{}
	for _, d := range dimensions.items {
		if name := d.member("name"); name != nil {
			names[name.text] = true
		} else {
			names[d.text] = true
		}
	}
	match := object(r.line)
	for _, column := range l.order {
		name, ok := strings.CutPrefix(column, columnMatch)
		text := r.cells[column]
		if !ok || text == "" {
			continue
		}
		if dimension, end := spanOf(name); end != "" && !names[name] {
			span := match.member(dimension)
			if span == nil {
				span = object(r.line)
				match.set(dimension, r.line, span)
			}
			span.set(end, r.line, scalar(r.line, text))
			continue
		}
		values := splitValues(text)
		if len(values) == 1 {
			match.set(name, r.line, scalar(r.line, values[0]))
			continue
		}
		list := &node{form: nodeList, line: r.line}
		for _, v := range values {
			list.items = append(list.items, scalar(r.line, v))
		}
		match.set(name, r.line, list)
	}
	return match
}

// splitValues splits 49|33; of a value \| is a stroke and \s a space at its ends, where others count for nothing.
func splitValues(text string) (values []string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && strings.IndexByte(`|\s`, text[i+1]) >= 0:
			if i++; text[i] == 's' {
				b.WriteByte(' ')
			} else {
				b.WriteByte(text[i])
			}
		case text[i] == '|':
			values = append(values, b.String())
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	return append(values, b.String())
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

// move gives a node and all in it a line.
func (n *node) move(line int) {
	n.line = line
	for i := range n.keys {
		n.keys[i].line = line
	}
	for _, item := range n.items {
		item.move(line)
	}
}

// Missing names the definitions that Fill needs and that are not among the rows; empty for a document that is no price list.
func (d *Document) Missing(rows map[Ref]Row) (missing []Ref) {
	if d.prices == nil {
		return nil
	}
	want := func(kind Kind, id string) bool {
		ref := Ref{kind, id}
		if _, ok := rows[ref]; !ok && !slices.Contains(missing, ref) {
			missing = append(missing, ref)
			return false
		}
		return true
	}
	want(KindSettings, settingsID)
	for _, g := range d.prices.groups {
		kind, id := g.owned()
		if !want(kind, id) || kind != KindContract {
			continue
		}
		var c contractDef
		if json.Unmarshal(rows[Ref{kind, id}].Body, &c) == nil && c.Account != "" { // its zone makes instants dates
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
