package pages

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Backtest is what WriteBacktest draws: revenue as rated and under a draft of the catalogue.
type Backtest struct {
	Draft      string // name of the document
	Account    string // "": everybody
	From, To   string // as they were asked for
	Zone       string // of these; "": UTC
	At         time.Time
	Accounts   int
	Activities int64
	Totals     []Compared // by currency
	Products   []Compared
	Largest    []Compared // accounts, the largest change first
	Rows       []Compared // by account and product
	MoreRows   int        // that are not shown
	Unrated    []Unrated
	Notes      []string
}

// Compared is one row; members that it is summed over are empty.
type Compared struct {
	Account, Product, Currency string
	Events                     int64
	Before, After, Difference  money.Fixed
	Percent                    *money.Decimal // nil: there is none
	Unrated                    int64          // events that the draft cannot rate
}

// Unrated is usage that the draft cannot rate.
type Unrated struct {
	Reason, Product, Currency string
	Events                    int64
	Before                    money.Fixed
}

type backtestView struct {
	Draft, Span, Account, At, Read string
	Style                          template.CSS
	Currencies                     []currencyView
	Rows                           []rowView
	MoreRows                       string
	Unrated                        []unratedView
	Notes                          []string
}

type currencyView struct {
	Currency          string
	Total             rowView
	Products, Largest []rowView
}

type rowView struct {
	Name, Product             string
	Events, Unrated           string
	HasUnrated, Less          bool
	Before, After, Difference amount
	Percent                   string
	BeforeW, AfterW           string // of the bars, percent
	ChangeX, ChangeW          string
}

type unratedView struct {
	What, Reason, Product, Events string
	Before                        amount
}

// WriteBacktest writes a page that needs nothing else: no script, no file beside it. Its numbers are written as English does, since
// nobody knows who will read it.
func WriteBacktest(w io.Writer, b *Backtest) error {
	style, err := files.ReadFile("assets/app.css")
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	t, err := template.New("backtest").ParseFS(files, "templates/backtest.html")
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	if err := t.ExecuteTemplate(w, "backtest", viewBacktest(b, template.CSS(style))); err != nil { //nolint:gosec // our own stylesheet
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func viewBacktest(b *Backtest, style template.CSS) *backtestView {
	l := english
	zone := b.Zone
	if zone == "" {
		zone = "UTC"
	}
	v := &backtestView{
		Draft: b.Draft, Account: b.Account, Style: style, Span: fmt.Sprintf("Usage from %s to %s (%s)", b.From, b.To, zone),
		At: b.At.UTC().Format("2006-01-02 15:04 UTC"), Notes: b.Notes,
		Read: l.count(b.Activities) + " activities of " + l.count(int64(b.Accounts)) + " accounts were read",
	}
	for i := range b.Totals {
		total := &b.Totals[i]
		c := currencyView{Currency: total.Currency, Total: l.compared(total, "")}
		widest := largest(b.Products, total.Currency, func(r *Compared) []money.Decimal { return []money.Decimal{r.Before.Decimal, r.After.Decimal} })
		for j := range b.Products {
			if r := &b.Products[j]; r.Currency == total.Currency {
				view := l.compared(r, r.Product)
				view.BeforeW, view.AfterW = share(r.Before.Decimal, widest, 100), share(r.After.Decimal, widest, 100)
				c.Products = append(c.Products, view)
			}
		}
		widest = largest(b.Largest, total.Currency, func(r *Compared) []money.Decimal { return []money.Decimal{r.Difference.Decimal} })
		for j := range b.Largest {
			if r := &b.Largest[j]; r.Currency == total.Currency {
				view := l.compared(r, r.Account)
				view.Less, view.ChangeX, view.ChangeW = r.Difference.Sign() < 0, "50", share(r.Difference.Decimal, widest, 50)
				if view.Less {
					view.ChangeX = strconv.FormatFloat(50-position(r.Difference.Decimal, widest, 50), 'f', 2, 64)
				}
				c.Largest = append(c.Largest, view)
			}
		}
		v.Currencies = append(v.Currencies, c)
	}
	for i := range b.Rows {
		v.Rows = append(v.Rows, l.compared(&b.Rows[i], b.Rows[i].Account))
	}
	if b.MoreRows > 0 {
		v.MoreRows = l.count(int64(b.MoreRows))
	}
	for i := range b.Unrated {
		u := &b.Unrated[i]
		what, _ := reasonWords(u.Reason)
		v.Unrated = append(v.Unrated, unratedView{what, u.Reason, u.Product, l.count(u.Events), l.amount(u.Before.Decimal, u.Currency)})
	}
	return v
}

func (l locale) compared(r *Compared, name string) rowView {
	v := rowView{
		Name: name, Product: r.Product, Events: l.count(r.Events), Unrated: l.count(r.Unrated), HasUnrated: r.Unrated > 0,
		Before: l.amount(r.Before.Decimal, r.Currency), After: l.amount(r.After.Decimal, r.Currency), Difference: l.amount(r.Difference.Decimal, r.Currency),
		Percent: "–",
	}
	if r.Difference.Sign() > 0 {
		v.Difference.Text = "+" + v.Difference.Text
	}
	if r.Percent != nil {
		v.Percent = l.number(*r.Percent) + noBreak + "%"
		if r.Percent.Sign() > 0 {
			v.Percent = "+" + v.Percent
		}
	}
	return v
}

// largest gives the largest size of the rows' amounts in the currency, as a length on a screen.
func largest(rows []Compared, currency string, of func(*Compared) []money.Decimal) float64 {
	most := 0.0
	for i := range rows {
		if rows[i].Currency != currency {
			continue
		}
		for _, d := range of(&rows[i]) {
			most = max(most, size(d))
		}
	}
	return most
}

func size(d money.Decimal) float64 {
	f, err := strconv.ParseFloat(d.String(), 64)
	if err != nil {
		return 0
	}
	return math.Abs(f)
}

func position(d money.Decimal, widest, of float64) float64 {
	if widest == 0 {
		return 0
	}
	return size(d) / widest * of
}

func share(d money.Decimal, widest, of float64) string {
	return strconv.FormatFloat(position(d, widest, of), 'f', 2, 64)
}
