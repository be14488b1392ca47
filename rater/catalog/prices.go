package catalog

import (
	"slices"
	"strconv"
	"strings"
)

// A price list holds rates and nothing else: a row a rate, or a row for each of its tiers and prices. The rates of a product at a level
// are replaced by those of the list; what the list does not name stays. It becomes a document in two steps: [ParsePrices] makes nodes of
// the rows, so that whatever reads them knows row and column, and [Document.Fill] puts them into the definitions that are there.
//
// This file takes rows apart: whose price each is and what its cells say. prices_rates.go makes rates of them, prices_fill.go finds their
// places, prices_export.go writes lists.

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
		if p.name == "dimensions" { // one cell says them all
			names, whole = names[:0], false
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
			if quoted, err := strconv.QuotedPrefix(rest); err == nil {
				inner, _ := strconv.Unquote(quoted)
				name = strings.ToLower(head) + "." + inner
				by, _ = strings.CutPrefix(strings.TrimSpace(rest[len(quoted):]), "by ")
			} else if name = strings.ToLower(head) + "." + strings.TrimSpace(rest); strings.HasPrefix(name, columnMatch) {
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
