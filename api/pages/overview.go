package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// amount is a rounded amount as shown, its exact value for programs, and all its digits for the curious.
type amount struct{ Text, Value, Full string }

func (l locale) amount(d money.Decimal, currency string) amount {
	return amount{l.money(d, currency), d.Fixed(), l.full(d, currency)}
}

func (l locale) smallAmount(d money.Decimal, currency string) amount {
	return amount{l.small(d, currency), d.Fixed(), l.full(d, currency)}
}

// overviewView is what the overview's templates draw.
type overviewView struct {
	Account, Name, Path string
	Period, PeriodDays  string
	Currency, Zone      string
	Current             bool
	Empty               bool

	Total        amount
	DaysLeft     string
	PeriodDone   string // width of the bar, in percent
	PeriodText   string
	Forecast     *forecastView
	Compared     *comparedView
	RatedThrough instant

	Parent   *link
	Switch   []switchEntry
	Periods  []periodEntry
	Accounts *accountsView
	Chart    *chart
	Lines    linesView
	Recent   []recentView
	Since    string
	Prices   []priceView
	CSV      overviewLinks
	Announce string
}

type overviewLinks struct{ Lines, Days, Prices string }

type link struct{ Href, Text string }

type switchEntry struct {
	link
	Depth int
	Here  bool
}

type periodEntry struct {
	link
	Total   amount
	Here    bool
	Current bool
}

type forecastView struct {
	Low, High   amount
	Same        bool
	End, Basis  string
	SpentW      string // widths of the range bar, in percent
	LowX, HighW string
}

type comparedView struct {
	Words    string // "8% less"
	Through  string
	Previous amount
}

// instant is a time as shown and for programs.
type instant struct{ Text, Machine string }

// clockTime writes a time of day, with the day when it is not today's.
func clockTime(t, now time.Time) instant {
	layout := "15:04:05"
	if now = now.In(t.Location()); t.Year() != now.Year() || t.YearDay() != now.YearDay() {
		layout = "2 Jan 2006, 15:04:05"
	}
	return instant{t.Format(layout), t.Format(time.RFC3339Nano)}
}

type accountsView struct {
	Rows []accountRow
	Sums []sumRow // one a currency
	Own  bool     // some of them have invoices of their own
}

type sumRow struct {
	Label  string
	Amount amount
}

type accountRow struct {
	link
	Depth  int
	ID     string
	Where  string
	Total  amount
	Filter bool
}

type recentView struct {
	link
	Detail, Account string
	Quantity        string
	Charge          amount
	Negative        bool
	Last            instant
}

type priceView struct {
	Product string
	Detail  string
	Lines   []rateLine
	From    string
	Until   string
}

func (s *server) overview(w http.ResponseWriter, r *http.Request) {
	s.showOverview(w, r, "layout")
}

// overviewFragments answers the moving parts alone; the page's script puts them in place.
func (s *server) overviewFragments(w http.ResponseWriter, r *http.Request) {
	s.showOverview(w, r, "fragments")
}

func (s *server) showOverview(w http.ResponseWriter, r *http.Request, block string) {
	account, query := r.PathValue("account"), r.URL.Query()
	period := query.Get("period")
	if period != "" {
		if _, err := time.Parse(dayLayout, period); err != nil {
			s.showProblem(w, r, problem{
				Status: http.StatusBadRequest, Heading: "That is not a date",
				Text: fmt.Sprintf("The address says period=%.40s. Write a day of the period you want, like 2026-11-01.", period),
				Back: accountPath(account), BackWord: "Show the current period",
			})
			return
		}
	}
	o, err := s.Customer.CustomerInvoice(r.Context(), account, period)
	if err != nil {
		s.fail(w, r, err, "account")
		return
	}
	l := localeOf(r.Header.Get("Accept-Language"))
	switch wants(r) {
	case "json":
		s.writeJSON(w, r, overviewJSON(o, l))
		return
	case "csv":
		s.overviewCSV(w, r, o, l)
		return
	}
	view := s.viewOverview(o, account, l, query)
	f := frame{Title: view.Name + ", " + view.Period, Area: "customer", Body: view}
	if view.Current && s.Watcher != nil {
		base := accountPath(account)
		f.Live = &live{Stream: base + "/stream", Fragments: with(base+"/fragments", query)}
	}
	s.render(w, r, http.StatusOK, "overview", block, f)
}

// viewOverview prepares everything that the page shows. query carries the reader's choices.
func (s *server) viewOverview(o *Overview, account string, l locale, query url.Values) *overviewView {
	inv := &o.Invoice
	zone := inv.Period.Start.Location()
	if loaded, err := time.LoadLocation(inv.TimeZone); err == nil && inv.TimeZone != "" {
		zone = loaded
	}
	start, end, now := inv.Period.Start.In(zone), inv.Period.End.In(zone), s.Now().In(zone)
	path := accountPath(account)
	v := &overviewView{
		Account: account, Name: orElse(inv.AccountName, inv.Account), Path: path,
		Period: periodName(start, end), PeriodDays: periodDays(start, end),
		Currency: inv.Currency, Zone: zoneName(zone, now),
		Current: !now.Before(start) && now.Before(end), Empty: len(inv.Lines) == 0,
		Total: l.amount(inv.Total.Decimal, inv.Currency),
		CSV: overviewLinks{
			Lines: with(path, query, "format", "csv"), Days: with(path, query, "format", "csv", "table", "days"),
			Prices: with(path, query, "format", "csv", "table", "prices"),
		},
	}
	if !inv.RatedThrough.IsZero() {
		v.RatedThrough = clockTime(inv.RatedThrough.In(zone), now)
	}
	v.setProgress(start, end, now, l)
	v.setForecast(o, l, end)
	names := productNames(o)
	d := gatherDays(start, end, o.Days, o.PreviousDays)
	v.Chart = l.draw(d, inv.Currency, names, now)
	if v.Current {
		v.setCompared(o, d, l, now)
	}
	v.Chart.Summary = chartSummary(v, d)
	v.setAccounts(o, l, query)
	v.setPeriods(o, l, query, zone)
	v.setRecent(o, l, zone, now)
	v.Prices = l.priceViews(o.Prices, account, o.Invoice.Currency, zone)
	v.Lines = l.viewLines(o, path, account, query)
	v.Announce = "Total so far " + v.Total.Text
	return v
}

func productNames(o *Overview) map[string]string {
	names := make(map[string]string, len(o.Prices))
	for i := range o.Prices {
		names[o.Prices[i].Product] = o.Prices[i].ProductName
	}
	for i := range o.Invoice.Lines {
		if line := &o.Invoice.Lines[i]; line.ProductName != "" {
			names[line.Product] = line.ProductName
		}
	}
	return names
}

// setProgress says how much of the period is over.
func (v *overviewView) setProgress(start, end, now time.Time, l locale) {
	if !v.Current {
		v.PeriodText = v.PeriodDays
		return
	}
	v.PeriodDone = percent(100 * now.Sub(start).Seconds() / end.Sub(start).Seconds())
	left := int64(0)
	for day := now; ; left++ { // calendar days, today included: a day of 23 hours counts as one
		day = day.AddDate(0, 0, 1)
		if next := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, day.Location()); !next.Before(end) {
			left++
			break
		}
	}
	v.DaysLeft = l.count(left) + " days left, today included"
	if left == 1 {
		v.DaysLeft = "Last day"
	}
	v.PeriodText = v.PeriodDays
}

func (v *overviewView) setForecast(o *Overview, l locale, end time.Time) {
	f := o.Invoice.Forecast
	if f == nil || !v.Current {
		return
	}
	currency := o.Invoice.Currency
	view := &forecastView{
		Low: l.amount(f.Low.Decimal, currency), High: l.amount(f.High.Decimal, currency),
		End: end.Add(-1).Format("2 January"), Basis: "From the pace of the last " + l.count(int64(f.Days)) + " days",
	}
	if f.Days == 1 {
		view.Basis = "From the pace of the last day"
	}
	view.Same = view.Low.Text == view.High.Text
	if high := screen(f.High.Decimal); high > 0 {
		part := func(d money.Decimal) float64 { return min(max(100*screen(d)/high, 0), 100) }
		low := part(f.Low.Decimal)
		view.SpentW, view.LowX, view.HighW = percent(part(o.Invoice.Total.Decimal)), percent(low), percent(100-low)
	}
	v.Forecast = view
}

// setCompared holds the whole days of this period against the same days of the one before.
func (v *overviewView) setCompared(o *Overview, d *days, l locale, now time.Time) {
	if !d.hasPrev || d.weekly {
		return
	}
	var this, before money.Decimal
	var through time.Time
	today := now.Format(dayLayout)
	for i, day := range d.labels {
		if day.Format(dayLayout) >= today {
			break
		}
		this, before, through = add(this, d.totals[i]), add(before, d.previous[i]), day
	}
	if through.IsZero() || before.Sign() <= 0 {
		return
	}
	change := 100 * (screen(this)/screen(before) - 1)
	words := "about the same as"
	switch {
	case change >= 0.5:
		words = l.plain(strconv.FormatFloat(change, 'f', 0, 64)) + "% more than"
	case change <= -0.5:
		words = l.plain(strconv.FormatFloat(-change, 'f', 0, 64)) + "% less than"
	}
	v.Compared = &comparedView{Words: words, Through: through.Format("2 January"), Previous: l.amount(before, o.Invoice.Currency)}
}

func chartSummary(v *overviewView, d *days) string {
	text := "Charges per day, " + v.PeriodDays + ", stacked by product. Total " + v.Total.Text + "."
	highest := -1
	for i := range d.totals {
		if highest < 0 || d.totals[i].Cmp(d.totals[highest]) > 0 {
			highest = i
		}
	}
	if highest >= 0 && !d.totals[highest].IsZero() {
		text += " Highest on " + d.labels[highest].Format("2 January") + "."
	}
	return text + " The same figures follow as a table."
}

// setAccounts lists the account with those below it, and what they sum up to.
func (v *overviewView) setAccounts(o *Overview, l locale, query url.Values) {
	if o.Parent != nil {
		v.Parent = &link{accountPath(o.Parent.ID), orElse(o.Parent.Name, o.Parent.ID)}
	}
	if len(o.Children) == 0 {
		return
	}
	inv := &o.Invoice
	period := query.Get("period")
	v.Switch = append(v.Switch, switchEntry{link: link{with(v.Path, url.Values{}, "period", period), v.Name}, Here: true})
	own := inv.Total.Decimal
	sums := map[string]money.Decimal{inv.Currency: inv.Total.Decimal}
	order := []string{inv.Currency}
	view := &accountsView{}
	for i := range o.Children {
		c := &o.Children[i]
		row := accountRow{Depth: min(c.Depth, 4), ID: c.ID, Total: l.amount(c.Total.Decimal, c.Currency)}
		row.Text = orElse(c.Name, c.ID)
		if c.Invoiced {
			row.Href, row.Where = with(accountPath(c.ID), url.Values{}, "period", period), "Its own invoice"
			view.Own = true
			if _, ok := sums[c.Currency]; !ok {
				order = append(order, c.Currency)
			}
			sums[c.Currency] = add(sums[c.Currency], c.Total.Decimal)
		} else {
			row.Href, row.Where, row.Filter = with(v.Path, url.Values{}, "period", period, "usage", c.ID)+"#lines", "On this invoice", true
			if rest, err := own.Sub(c.Total.Decimal); err == nil {
				own = rest
			}
		}
		view.Rows = append(view.Rows, row)
		v.Switch = append(v.Switch, switchEntry{link: row.link, Depth: row.Depth})
	}
	self := accountRow{ID: inv.Account, Where: "On this invoice", Total: l.amount(own, inv.Currency), Filter: true}
	self.link = link{with(v.Path, url.Values{}, "period", period, "usage", inv.Account) + "#lines", v.Name}
	view.Rows = append([]accountRow{self}, view.Rows...)
	for _, currency := range order {
		label := "Sum"
		if len(order) > 1 {
			label = "Sum in " + currency
		}
		view.Sums = append(view.Sums, sumRow{label, l.amount(sums[currency], currency)})
	}
	v.Accounts = view
}

func (v *overviewView) setPeriods(o *Overview, l locale, query url.Values, zone *time.Location) {
	for i := range o.Periods {
		p := &o.Periods[i]
		start, end := p.Period.Start.In(zone), p.Period.End.In(zone)
		day := start.Format(dayLayout)
		if p.Current {
			day = ""
		}
		v.Periods = append(v.Periods, periodEntry{
			link:  link{with(v.Path, query, "period", day, "page", "", "q", "", "usage", ""), periodName(start, end)},
			Total: l.amount(p.Total.Decimal, o.Invoice.Currency), Current: p.Current,
			Here: start.Equal(o.Invoice.Period.Start),
		})
	}
}

func (v *overviewView) setRecent(o *Overview, l locale, zone *time.Location, now time.Time) {
	if !v.Current {
		return
	}
	if minutes := int64(now.Sub(o.RecentSince).Round(time.Minute) / time.Minute); !o.RecentSince.IsZero() && minutes > 0 && minutes < 180 {
		v.Since = "Last " + l.count(minutes) + " minutes"
	}
	for i := range o.Recent {
		m := &o.Recent[i]
		view := recentView{
			Detail: attributesText(m.Attributes), Quantity: signed(l.units(m.Quantity, m.Unit), m.Quantity.Sign()),
			Negative: m.Charge.Sign() < 0, Last: clockTime(m.Last.In(zone), now),
		}
		view.link = link{linePath(v.Account, m.Line), orElse(m.ProductName, m.Product)}
		if m.UsageAccount != o.Invoice.Account {
			view.Account = m.UsageAccount
		}
		view.Charge = amount{
			signed(l.small(m.Charge.Decimal, o.Invoice.Currency), m.Charge.Sign()), m.Charge.Fixed(),
			l.full(m.Charge.Decimal, o.Invoice.Currency),
		}
		if text := view.Charge.Text; len(text) > 1 && text[1] == '<' {
			view.Charge.Text = text[1:]
		}
		v.Recent = append(v.Recent, view)
	}
}

func (l locale) priceViews(prices []Price, account, currency string, zone *time.Location) []priceView {
	views := make([]priceView, 0, len(prices))
	for i := range prices {
		p := &prices[i]
		view := priceView{Product: orElse(p.ProductName, p.Product), Lines: l.rateLinesIn(p.Rate, p.Unit, currency)}
		if p.Package != "" {
			view.Detail = "in package " + p.Package
		}
		if p.Rate != nil {
			view.From = levelLong(p.Rate.Level, orElse(p.OwnerName, ownerID(p)), inheritedFrom(p, account))
			if p.Rate.End != neverEnds {
				view.Until = "until " + time.Unix(0, p.Rate.End).In(zone).Add(-1).Format("2 January 2006")
			}
		}
		views = append(views, view)
	}
	return views
}
