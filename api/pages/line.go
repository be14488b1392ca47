package pages

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

const (
	usagePage        = 100
	usageExportPage  = 1000
	attributePrefix  = "attr."
	mostFilterFields = 12
)

// lineDetailView is what the page of one line draws.
type lineDetailView struct {
	Back            link
	Product, Name   string
	Period, Zone    string
	Amount          amount
	Exact           string
	Quantity        string
	Events          string
	LateOf          string
	CorrectionOf    string // the period of the closed invoice
	Corrected       string // its id
	Level, Model    string
	Package         string
	UsageAccount    string
	Explained       []explainedView
	Shared          []sharedLineView
	Equation        string
	Asked           []askedView
	Filters         []filterField
	Filtered        bool
	Problem         string // of the filter form
	Usage           []usageRow
	Columns         []string // attributes with a column of their own
	MatchedText     string
	Next, First     string
	CSV, Clear      string
	Path            string
	Days            []option
	DayHidden       string
	QuantityHeading string
}

// sharedLineView is what the line has of tiers that it shares, and all together.
type sharedLineView struct{ Words, Used, Charged, AllUsed, Amount string }

type explainedView struct {
	Heading  string
	Prices   []rateLine
	Note     string
	Quantity string
	Steps    []explainedStep
	Amount   string
}

type explainedStep struct{ Label, Text, Amount string }

type askedView struct {
	Words    string
	Why      string
	Rate     string
	Answered bool
}

type filterField struct {
	ID, Name, Label, Value string
	Options                []option
}

type option struct {
	Value, Text string
	Selected    bool
}

type usageRow struct {
	Time       instant
	Event      link
	Why        string // address of the charge's explanation
	Source     string
	Adjustment bool
	Cells      []string
	Quantity   string
	Charge     amount
	Negative   bool
	After      amount
}

// line shows one line: what it costs, why, and the usage behind it.
func (s *server) line(w http.ResponseWriter, r *http.Request) {
	account, id, query := r.PathValue("account"), r.PathValue("line"), r.URL.Query()
	d, err := s.Customer.Line(r.Context(), account, id)
	if err != nil {
		s.fail(w, r, err, "line")
		return
	}
	filter, bad := activityFilter(query)
	if bad != "" && wants(r) != "html" {
		s.showProblem(w, r, problem{Status: http.StatusBadRequest, Heading: "The filter is not right", Text: bad})
		return
	}
	format := wants(r)
	if format == "csv" {
		s.usageCSV(w, r, account, id, d, filter)
		return
	}
	page := &ActivityPage{Events: -1}
	if bad == "" {
		if page, err = s.Customer.Activities(r.Context(), account, id, filter, query.Get("cursor")); err != nil {
			s.fail(w, r, err, "page of usage")
			return
		}
	}
	if format == "json" {
		s.writeJSON(w, r, struct {
			*LineDetail
			Usage *ActivityPage `json:"usage"`
		}{d, page})
		return
	}
	view := s.viewLineDetail(d, account, localeOf(r.Header.Get("Accept-Language")), query, filter, page)
	status := http.StatusOK
	if bad != "" {
		view.Problem, status = bad, http.StatusBadRequest
	}
	s.render(w, r, status, "line", "layout", frame{
		Title: view.Product + ", " + view.Period + ", " + d.AccountName, Area: "customer", Body: view,
	})
}

// activityFilter reads the filter of an address; the second value says in words what is wrong with it.
func activityFilter(query url.Values) (ActivityFilter, string) {
	f := ActivityFilter{Day: strings.TrimSpace(query.Get("day")), Attributes: map[string]string{}, Limit: usagePage}
	if f.Day != "" {
		if _, err := time.Parse(dayLayout, f.Day); err != nil {
			return f, fmt.Sprintf("“%.40s” is not a day. Write it like 2026-11-03.", f.Day)
		}
	}
	for name, values := range query {
		attribute, ok := strings.CutPrefix(name, attributePrefix)
		if !ok || attribute == "" || values[0] == "" {
			continue
		}
		f.Attributes[attribute] = values[0]
	}
	if len(f.Attributes) > mostFilterFields {
		return f, fmt.Sprintf("Filter by at most %d attributes at once.", mostFilterFields)
	}
	return f, ""
}

func (s *server) viewLineDetail(d *LineDetail, account string, l locale, query url.Values, filter ActivityFilter, page *ActivityPage) *lineDetailView {
	zone := d.Period.Start.Location()
	if loaded, err := time.LoadLocation(d.TimeZone); err == nil && d.TimeZone != "" {
		zone = loaded
	}
	now := s.Now().In(zone)
	start, end := d.Period.Start.In(zone), d.Period.End.In(zone)
	line, path := &d.Line, linePath(account, d.Line.ID)
	v := &lineDetailView{
		Product: orElse(line.ProductName, line.Product), Name: attributesText(line.Attributes),
		Period: periodName(start, end), Zone: zoneName(zone, start), Path: path,
		Amount: l.smallAmount(line.Amount.Decimal, d.Currency), Exact: l.exact(line.Amount.Decimal, d.Currency),
		Quantity: l.units(line.Quantity, line.Unit), Events: l.count(line.Events),
		Model:    capital(strings.ReplaceAll(line.Rate.Model, "_", " ")),
		Level:    levelShort(catalog.Level(line.Rate.Level)),
		Equation: l.equation(d.Explanation.Equation),
		Filtered: filter.Day != "" || len(filter.Attributes) > 0,
		CSV:      with(path, query, "format", "csv", "cursor", ""), Clear: path + "#usage",
		QuantityHeading: "Quantity" + before(", ", line.Unit),
	}
	back := start.Format(dayLayout)
	if !now.Before(start) && now.Before(end) {
		back = ""
	}
	v.Back = link{with(accountPath(account), url.Values{}, "period", back), orElse(d.AccountName, d.Account) + ", " + v.Period}
	if line.UsageAccount != d.Account {
		v.UsageAccount = line.UsageAccount
	}
	if line.Package != nil {
		v.Package = *line.Package
	}
	if line.UsagePeriod != nil && line.Corrects != nil {
		v.CorrectionOf, v.Corrected = periodName(line.UsagePeriod.Start.In(zone), line.UsagePeriod.End.In(zone)), line.Corrects.Invoice
		v.Level, v.Model = correctionWords, ""
	} else if line.UsagePeriod != nil {
		v.LateOf = periodName(line.UsagePeriod.Start.In(zone), line.UsagePeriod.End.In(zone))
	}
	v.Explained = l.explained(d, zone, start, end)
	for i := range d.Shared {
		x := &d.Shared[i]
		v.Shared = append(v.Shared, sharedLineView{
			capital(x.Words) + ".", l.units(x.Used, line.Unit), l.exact(x.Charged.Decimal, d.Currency), l.units(x.Of, line.Unit), l.exact(x.Amount.Decimal, d.Currency),
		})
	}
	v.setAsked(d, account)
	v.setFilters(d, filter)
	v.setUsage(d, l, zone, now, query, page)
	return v
}

// explained writes the arithmetic of a line, one part for each rate that priced it.
func (l locale) explained(d *LineDetail, zone *time.Location, start, end time.Time) []explainedView {
	parts := make([]explainedView, 0, len(d.Explanation.Segments))
	for i := range d.Explanation.Segments {
		seg := &d.Explanation.Segments[i]
		part := explainedView{
			Note: l.equation(seg.Note), Quantity: l.units(seg.Quantity, d.Line.Unit), Amount: l.exact(seg.Amount, d.Currency),
		}
		if i < len(d.Rates) {
			rate := &d.Rates[i]
			part.Prices = l.rateLinesIn(rate.Rate, d.Line.Unit, d.Currency)
			if len(d.Explanation.Segments) > 1 {
				from, to := rate.Start.In(zone), rate.End.In(zone)
				if rate.Start.IsZero() {
					from = start
				}
				if rate.End.IsZero() {
					to = end
				}
				part.Heading = "Usage of " + periodDays(from, to)
			}
		}
		for _, step := range seg.Steps {
			part.Steps = append(part.Steps, explainedStep{capital(l.equation(step.Label)), l.equation(step.Text), l.exact(step.Amount, d.Currency)})
		}
		parts = append(parts, part)
	}
	return parts
}

func (v *lineDetailView) setAsked(d *LineDetail, account string) {
	for i := range d.Asked {
		a := &d.Asked[i]
		from := ""
		if a.Account != "" && a.Account != account {
			from = orElse(a.AccountName, a.Account)
		}
		v.Asked = append(v.Asked, askedView{levelLong(a.Level, "", from), a.Why, a.RateID, a.Answered})
	}
}

func (v *lineDetailView) setFilters(d *LineDetail, filter ActivityFilter) {
	v.Days = append(v.Days, option{Text: "Every day"})
	seen := filter.Day == ""
	for _, day := range d.Days {
		text := day
		if t, err := time.Parse(dayLayout, day); err == nil {
			text = t.Format("Mon 2 January")
		}
		v.Days = append(v.Days, option{day, text, day == filter.Day})
		seen = seen || day == filter.Day
	}
	if !seen { // a day that an address names keeps being shown, although nothing was used on it
		v.Days = append(v.Days, option{filter.Day, filter.Day, true})
	}
	known := map[string]bool{}
	for i, facet := range d.Facets {
		if i == mostFilterFields {
			break
		}
		known[facet.Name] = true
		v.Filters = append(v.Filters, facetField(i, facet, filter.Attributes[facet.Name]))
	}
	for _, name := range slices.Sorted(maps.Keys(filter.Attributes)) {
		if !known[name] {
			v.Filters = append(v.Filters, facetField(len(v.Filters), Facet{Name: name}, filter.Attributes[name]))
		}
	}
}

func facetField(i int, facet Facet, value string) filterField {
	f := filterField{ID: fmt.Sprintf("attr-%d", i), Name: attributePrefix + facet.Name, Label: facet.Name, Value: value}
	f.Options = append(f.Options, option{Text: "Any"})
	seen := value == ""
	for _, known := range facet.Values {
		if known == "" {
			continue
		}
		f.Options = append(f.Options, option{known, known, known == value})
		seen = seen || known == value
	}
	if !seen {
		f.Options = append(f.Options, option{value, value, true})
	}
	return f
}

func (v *lineDetailView) setUsage(d *LineDetail, l locale, zone *time.Location, now time.Time, query url.Values, page *ActivityPage) {
	for i, facet := range d.Facets {
		if i == 4 { // more columns than a screen holds; all attributes are in the CSV
			break
		}
		v.Columns = append(v.Columns, facet.Name)
	}
	for i := range page.Rows {
		a := &page.Rows[i]
		row := usageRow{
			Time: clockTime(a.Time.In(zone), now), Source: a.Source, Adjustment: a.Adjustment,
			Quantity: l.number(a.Quantity), Negative: a.Charge.Sign() < 0,
			Charge: amount{l.exact(a.Charge.Decimal, d.Currency), a.Charge.Fixed(), l.full(a.Charge.Decimal, d.Currency)},
			After:  l.amount(a.LineAmount.Decimal, d.Currency),
		}
		row.Time.Text = a.Time.In(zone).Format("2 Jan, 15:04:05")
		row.Event.Text = a.EventID
		if a.ID != "" {
			row.Why = chargePath(d.Account, a.ID)
		}
		for _, name := range v.Columns {
			row.Cells = append(row.Cells, a.Attributes[name])
		}
		v.Usage = append(v.Usage, row)
	}
	if page.Events >= 0 {
		v.MatchedText = l.count(page.Events) + " events"
		if page.Events == 1 {
			v.MatchedText = "1 event"
		}
		if page.Quantity != nil {
			v.MatchedText += ", " + l.units(*page.Quantity, d.Line.Unit)
		}
		if page.Charge != nil {
			v.MatchedText += ", " + l.exact(money.Decimal(page.Charge.Decimal), d.Currency)
		}
	}
	if page.Next != "" {
		v.Next = with(v.Path, query, "cursor", page.Next) + "#usage"
	}
	if query.Get("cursor") != "" {
		v.First = with(v.Path, query, "cursor", "") + "#usage"
	}
}
