package catalog

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// ExchangeFile is what a file of exchange rates says.
type ExchangeFile struct {
	Days     int
	First    money.Date
	Last     money.Date
	Passed   []string // over: columns of currencies that are not in use, and so of no use
	Document []byte   // what the file says, as a document in JSON
}

// The date of a line, as the European Central Bank writes it in the file of all days and in that of one.
var exchangeLayouts = []string{time.DateOnly, "2 January 2006"}

// ReadExchangeCSV reads exchange rates as the European Central Bank publishes them (eurofxref.csv, eurofxref-hist.csv): a header
// "Date, USD, JPY, …", then a line a day, what one unit of the base costs, with N/A where that is not known. Days before from are left out.
// The error is an *Issues.
func ReadExchangeCSV(name, base string, from money.Date, data []byte) (*ExchangeFile, error) {
	x := &exchangeCSV{report: report{file: name}, base: base}
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	in.FieldsPerRecord, in.TrimLeadingSpace, in.ReuseRecord = -1, true, true
	out := &ExchangeFile{}
	if _, known := money.LookupCurrency(base); !known {
		x.fail(nil, "%q is not a currency: use a code of ISO 4217 such as EUR as the base", shorten(base))
	}
	for line := 1; len(x.issues.List) < maxIssues; line++ {
		record, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			x.failAt(line, "cannot be read as CSV: %v", err)
			break
		}
		number, _ := in.FieldPos(0)
		if x.columns == nil {
			x.header(number, record)
			if len(x.issues.List) > 0 {
				break
			}
			continue
		}
		x.day(number, record, from)
	}
	if x.columns == nil && len(x.issues.List) == 0 {
		x.fail(nil, "is empty: want the header Date, USD, JPY, … and a line a day")
	}
	if err := x.err(); err != nil {
		return nil, err
	}
	out.Passed, out.Days = x.passed, len(x.days)
	if len(x.dates) > 0 {
		out.First, out.Last = slices.Min(x.dates), slices.Max(x.dates)
	}
	var err error
	out.Document, err = json.Marshal(map[string]any{"exchange_rates": x.days})
	return out, err
}

// exchangeCSV is a file on its way to days.
type exchangeCSV struct {
	report
	base    string
	columns []string // the currency of each, "" for one that is passed over; the first is the date
	passed  []string
	days    []*exchangeDef
	dates   []money.Date // of the days
}

func (x *exchangeCSV) failAt(line int, format string, args ...any) {
	x.fail(&place{line: line}, format, args...)
}

func (x *exchangeCSV) header(line int, record []string) {
	if !strings.EqualFold(strings.TrimSpace(record[0]), "Date") {
		x.failAt(line, "must begin with the header Date, USD, JPY, …, not with %q", shorten(record[0]))
		return
	}
	seen := map[string]bool{}
	x.columns = make([]string, len(record))
	for i, name := range record[1:] {
		name = strings.TrimSpace(name)
		_, known := money.LookupCurrency(name)
		switch {
		case name == "": // the bank's lines end with a comma
		case len(name) != 3 || strings.ToUpper(name) != name:
			x.failAt(line, "column %d, %q, is not a currency: use codes of ISO 4217 such as USD", i+2, shorten(name))
		case seen[name]:
			x.failAt(line, "has the column %s twice", name)
		case !known || name == x.base:
			x.passed = append(x.passed, name)
		default:
			x.columns[i+1] = name
		}
		seen[name] = name != ""
	}
}

func (x *exchangeCSV) day(line int, record []string, from money.Date) {
	text := strings.TrimSpace(record[0])
	if text == "" && len(record) == 1 {
		return
	}
	var at time.Time
	var err error
	for _, layout := range exchangeLayouts {
		if at, err = time.Parse(layout, text); err == nil {
			break
		}
	}
	if err != nil {
		x.failAt(line, "must begin with a date such as 2026-11-20 or 20 November 2026, not %q", shorten(text))
		return
	}
	d := &exchangeDef{Base: x.base, Date: at.Format(time.DateOnly), Rates: map[string]money.Decimal{}}
	date, _ := money.ParseDate(d.Date) // as it is written just above
	if date < from {
		return
	}
	if len(record) > len(x.columns) {
		x.failAt(line, "has %d cells, more than the %d of the header", len(record), len(x.columns))
		return
	}
	for i, cell := range record[1:] {
		currency := x.columns[i+1]
		if cell = strings.TrimSpace(cell); currency == "" || cell == "" || cell == "N/A" {
			continue
		}
		rate, _ := money.Parse(cell) // 0 where it is no number
		if rate.Sign() <= 0 || !rate.WithinLimit() {
			x.failAt(line, "%s must be a decimal number above 0 with at most 12 decimals, or N/A, not %q", currency, shorten(cell))
		}
		d.Rates[currency] = rate
	}
	if len(d.Rates) > 0 {
		x.days, x.dates = append(x.days, d), append(x.dates, date)
	}
}
