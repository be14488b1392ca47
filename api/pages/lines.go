package pages

import (
	"cmp"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

const (
	neverEnds    = catalog.Never
	linesPage    = 100
	linesPageMax = 1000 // above linesPage rows are drawn in short, to stay within 200 KB
)

// ownerID names the definition that holds a rate when it has no name of its own; an account's needs none.
func ownerID(p *Price) string {
	switch p.Rate.Owner.Kind {
	case catalog.KindContract, catalog.KindRateClass, catalog.KindPackage:
		return p.Rate.Owner.ID
	}
	return p.Package
}

func inheritedFrom(p *Price, account string) string {
	if p.Rate.OwnerAccount == "" || p.Rate.OwnerAccount == account {
		return ""
	}
	return orElse(p.AccountName, p.Rate.OwnerAccount)
}

// linesView is the table of lines: one page of it.
type linesView struct {
	Groups      []groupView
	Dense       bool
	Query       string
	Usage       string
	Hidden      []hiddenField // what a search keeps
	Shown       string        // "1–100 of 1,240 lines"
	Matches     int
	Previous    string
	Next        string
	More        string // the same with longer pages
	Clear       string
	ManyLines   bool
	SumFiltered *amount
}

type hiddenField struct{ Name, Value string }

// groupView is a product with its lines.
type groupView struct {
	Name, Detail string
	Count        int
	Quantity     string
	Total        amount
	Continued    bool
	Single       bool // one line: the group's row is the line, its name stands in Detail
	Lines        []lineView
}

type lineView struct {
	ID, Href string
	Name     string
	Detail   string
	Quantity string
	Events   string
	Amount   amount
	Level    string
	Step     *stepView
}

// stepView is the way to the next price.
type stepView struct {
	Next    string // what the next unit costs
	Left    string // how far it is to the next price
	Percent int
	Bounded bool
}

type lineGroup struct {
	product string
	lines   []*invoicer.Line
	total   money.Decimal
}

// viewLines groups the invoice's lines by product, dearest first, and cuts out one page.
func (l locale) viewLines(o *Overview, path, account string, query url.Values) linesView {
	inv := &o.Invoice
	v := linesView{Query: strings.TrimSpace(query.Get("q")), Usage: query.Get("usage"), ManyLines: len(inv.Lines) > 12}
	for _, name := range []string{"period", "usage", "per"} {
		if value := query.Get(name); value != "" {
			v.Hidden = append(v.Hidden, hiddenField{name, value})
		}
	}
	groups, matches, sum := groupLines(inv.Lines, v.Query, v.Usage)
	v.Matches = matches
	if v.Query != "" || v.Usage != "" {
		total := l.amount(sum, inv.Currency)
		v.SumFiltered, v.Clear = &total, with(path, query, "q", "", "usage", "", "page", "")+"#lines"
	}
	per := linesPage
	if n, err := strconv.Atoi(query.Get("per")); err == nil && n > 0 {
		per = min(n, linesPageMax)
	}
	pages := max((matches+per-1)/per, 1)
	page := 1
	if n, err := strconv.Atoi(query.Get("page")); err == nil {
		page = min(max(n, 1), pages)
	}
	from, to := (page-1)*per, min(page*per, matches)
	v.Dense = to-from > linesPage
	v.Groups = l.pageOfGroups(groups, from, to, v.Dense, path, account, inv)
	if pages > 1 {
		v.Shown = "Lines " + l.count(int64(from+1)) + " to " + l.count(int64(to)) + " of " + l.count(int64(matches))
	}
	if page > 1 {
		v.Previous = with(path, query, "page", strconv.Itoa(page-1)) + "#lines"
	}
	if page < pages {
		v.Next = with(path, query, "page", strconv.Itoa(page+1)) + "#lines"
	}
	if pages > 1 && per < linesPageMax {
		v.More = with(path, query, "per", strconv.Itoa(linesPageMax), "page", "") + "#lines"
	}
	return v
}

func groupLines(lines []invoicer.Line, text, usage string) (groups []*lineGroup, matches int, sum money.Decimal) {
	byProduct := map[string]*lineGroup{}
	text = strings.ToLower(text)
	for i := range lines {
		line := &lines[i]
		if usage != "" && line.UsageAccount != usage || text != "" && !lineMatches(line, text) {
			continue
		}
		g := byProduct[line.Product]
		if g == nil {
			g = &lineGroup{product: line.Product}
			byProduct[line.Product] = g
			groups = append(groups, g)
		}
		g.lines = append(g.lines, line)
		g.total = add(g.total, line.Amount.Decimal)
		sum = add(sum, line.Amount.Decimal)
		matches++
	}
	slices.SortFunc(groups, func(a, b *lineGroup) int {
		return cmp.Or(b.total.Cmp(a.total), cmp.Compare(a.product, b.product))
	})
	for _, g := range groups {
		slices.SortFunc(g.lines, func(a, b *invoicer.Line) int {
			return cmp.Or(b.Amount.Cmp(a.Amount.Decimal), cmp.Compare(a.ID, b.ID))
		})
	}
	return groups, matches, sum
}

func lineMatches(line *invoicer.Line, text string) bool {
	if strings.Contains(strings.ToLower(line.Product), text) || strings.Contains(strings.ToLower(line.ProductName), text) ||
		strings.Contains(strings.ToLower(line.UsageAccount), text) {
		return true
	}
	for _, value := range line.Attributes {
		if strings.Contains(strings.ToLower(value), text) {
			return true
		}
	}
	return false
}

// pageOfGroups draws the lines from to to, counted over all groups, under the headings of their groups.
func (l locale) pageOfGroups(groups []*lineGroup, from, to int, dense bool, path, account string, inv *invoicer.Invoice) []groupView {
	var views []groupView
	position := 0
	for _, g := range groups {
		first, last := max(from-position, 0), min(to-position, len(g.lines))
		position += len(g.lines)
		if first >= last {
			continue
		}
		lead := g.lines[0]
		view := groupView{
			Name: orElse(lead.ProductName, lead.Product), Count: len(g.lines), Total: l.amount(g.total, inv.Currency),
			Continued: first > 0, Single: len(g.lines) == 1,
		}
		if view.Single {
			view.Detail = l.lineName(lead, inv.Account)
		}
		var quantity money.Decimal
		for _, line := range g.lines {
			quantity = add(quantity, line.Quantity)
		}
		view.Quantity = l.units(quantity, lead.Unit)
		for _, line := range g.lines[first:last] {
			view.Lines = append(view.Lines, l.viewLine(line, dense, path, account, inv))
		}
		views = append(views, view)
	}
	return views
}

// lineName tells a line from its neighbours of the same product.
func (l locale) lineName(line *invoicer.Line, account string) string {
	parts := make([]string, 0, 3)
	if line.UsageAccount != account {
		parts = append(parts, line.UsageAccount)
	}
	if text := attributesText(line.Attributes); text != "" {
		parts = append(parts, text)
	}
	switch {
	case line.UsagePeriod != nil && line.Corrects != nil:
		parts = append(parts, "correction for "+periodName(line.UsagePeriod.Start, line.UsagePeriod.End))
	case line.UsagePeriod != nil:
		parts = append(parts, "late usage of "+periodName(line.UsagePeriod.Start, line.UsagePeriod.End))
	}
	return strings.Join(parts, " · ")
}

func (l locale) viewLine(line *invoicer.Line, dense bool, path, account string, inv *invoicer.Invoice) lineView {
	v := lineView{
		ID: line.ID, Href: path + "/lines/" + url.PathEscape(line.ID), Name: l.lineName(line, inv.Account),
		Amount: l.smallAmount(line.Amount.Decimal, inv.Currency),
	}
	if v.Name == "" {
		v.Name = "All usage"
	}
	if dense {
		v.Quantity = l.units(line.Quantity, line.Unit)
		return v
	}
	if line.Corrects != nil {
		v.Level = correctionWords
		return v
	}
	v.Quantity = l.units(line.Quantity, line.Unit)
	v.Events = l.count(line.Events) + " events"
	if line.Events == 1 {
		v.Events = "1 event"
	}
	v.Level = levelShort(catalog.Level(line.Rate.Level))
	if line.Package != nil && *line.Package != "" {
		v.Level += ", package " + *line.Package
	}
	if line.Rate.Account != "" && line.Rate.Account != account {
		v.Level += " of " + line.Rate.Account
	}
	v.Step = l.viewStep(line, inv.Currency)
	return v
}

// viewStep says what the next unit costs and how far the next price is.
func (l locale) viewStep(line *invoicer.Line, currency string) *stepView {
	n := line.Next
	if n == nil {
		return nil
	}
	v := &stepView{}
	unit := orElse(line.Unit, "unit")
	if n.UnitPrice != nil {
		v.Next = "Next " + unit + " " + l.exact(*n.UnitPrice, currency)
		if n.UnitPrice.IsZero() {
			v.Next = "Next " + unit + " included"
		}
	}
	if n.UpTo == nil {
		v.Left = "last price step reached"
		if v.Next == "" || n.From.IsZero() {
			v.Left = ""
		}
		if v.Next == "" && v.Left == "" {
			return nil
		}
		return v
	}
	left, err := n.UpTo.Sub(line.Quantity)
	width, err2 := n.UpTo.Sub(n.From)
	done, err3 := line.Quantity.Sub(n.From)
	if err != nil || err2 != nil || err3 != nil || width.Sign() <= 0 {
		return v
	}
	v.Bounded = true
	v.Percent = int(min(max(100*screen(done)/screen(width), 0), 100))
	switch {
	case n.Then == nil:
		v.Left = l.units(left, line.Unit) + " to the next step"
	case n.UnitPrice != nil && n.UnitPrice.IsZero():
		v.Left = l.units(left, line.Unit) + " left, then " + l.exact(*n.Then, currency)
	case n.Then.IsZero():
		v.Left = l.units(left, line.Unit) + " until it is free"
	default:
		v.Left = l.units(left, line.Unit) + " until " + l.exact(*n.Then, currency)
	}
	return v
}
