package catalog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

func day(text string) money.Date {
	d, err := money.ParseDate(text)
	if err != nil {
		panic(err)
	}
	return d
}

const exchangeBook = `
exchange_rates:
  - {base: EUR, date: 2026-11-19, rates: {USD: 1.15, JPY: 180, TRY: 50}}
  - {base: EUR, date: 2026-11-20, rates: {USD: 1.1592, JPY: 181.2}}
  - {base: EUR, date: 2026-11-23, rates: {USD: 1.16, GBP: 0.88, IDR: 1000000000000000}}
  - {base: USD, date: 2026-11-18, rates: {CAD: 1.4, JPY: 155}}
  - {base: USD, date: 2026-11-24, rates: {CAD: 1.41, EUR: 0.86}}
`

func TestExchange(t *testing.T) {
	b := newBook()
	if changes := b.must(t, testNow, exchangeBook); len(changes) != 5 || changes[0].String() != "created exchange_rates EUR@2026-11-19" {
		t.Fatalf("changes: %v", changes)
	}
	first, err := NewSnapshot(b.list())
	if err != nil {
		t.Fatal(err)
	}
	// The 20th is a Friday.
	for _, c := range []struct{ from, to, date, want string }{
		{"EUR", "USD", "2026-11-20", "1.1592 of 2026-11-20"},
		{"EUR", "USD", "2026-11-21", "1.1592 of 2026-11-20"}, // Saturday
		{"EUR", "USD", "2026-11-22", "1.1592 of 2026-11-20"},
		{"EUR", "USD", "2026-11-23", "1.16 of 2026-11-23"},
		{"EUR", "USD", "2026-11-18", "none"},
		{"USD", "EUR", "2026-11-20", "0.862663906142 of 2026-11-20"}, // 1 / 1.1592 = 0.86266390614216…
		{"USD", "EUR", "2026-11-24", "0.86 of 2026-11-24"},           // written so, a later day than the other base's
		{"EUR", "USD", "2026-11-24", "1.162790697674 of 2026-11-24"}, // 1 / 0.86 = 1.16279069767441…
		{"USD", "JPY", "2026-11-20", "156.314699792961 of 2026-11-20"},
		{"USD", "JPY", "2026-11-18", "155 of 2026-11-18"},
		{"JPY", "USD", "2026-11-20", "0.006397350993 of 2026-11-20"}, // 1.1592 / 181.2 = 0.00639735099337…
		{"JPY", "USD", "2026-11-23", "0.006397350993 of 2026-11-20"}, // the last day with both
		{"TRY", "EUR", "2027-01-01", "0.02 of 2026-11-19"},
		{"GBP", "USD", "2026-11-23", "1.318181818182 of 2026-11-23"}, // 1.16 / 0.88 = 1.31818181818181…
		{"CAD", "EUR", "2026-11-24", "0.609929078014 of 2026-11-24"}, // 0.86 / 1.41 = 0.60992907801418…
		{"CAD", "GBP", "2026-11-24", "none"},                         // no base has both
		{"IDR", "EUR", "2026-11-23", "none"},                         // 10^-15 is 0 with 12 decimals
		{"EUR", "IDR", "2026-11-23", "1000000000000000 of 2026-11-23"},
		{"EUR", "CHF", "2026-11-23", "none"},
	} {
		got := "none"
		if x, ok := first.Exchange(c.from, c.to, day(c.date)); ok {
			got = fmt.Sprintf("%s of %s", x.Rate, x.Date)
		}
		if got != c.want {
			t.Errorf("%s in %s on %s: %s, want %s", c.from, c.to, c.date, got, c.want)
		}
	}

	// A later import: a day is replaced whole, another comes, one goes. The snapshot before stays what it was.
	b.must(t, testNow, `
exchange_rates:
  - {base: EUR, date: 2026-11-20, rates: {USD: 1.2, CHF: 0.93}}
  - {base: EUR, date: 2026-11-25, rates: {USD: 1.25}}
  - {base: EUR, date: 2026-11-17, rates: {SEK: 11}}
delete: [{kind: exchange_rates, id: EUR@2026-11-23}]
`)
	second, err := NewSnapshot(b.list())
	if err != nil {
		t.Fatal(err)
	}
	var newer []Row
	for _, row := range b.list() {
		if row.Seq == 2 {
			newer = append(newer, row)
		}
	}
	stepped, err := first.With(newer, 2)
	if err != nil {
		t.Fatal(err)
	}
	for name, snap := range map[string]*Snapshot{"built anew": second, "carried on": stepped} {
		for _, c := range []struct{ from, to, date, want string }{
			{"EUR", "USD", "2026-11-20", "1.2 of 2026-11-20"},
			{"EUR", "JPY", "2026-11-20", "180 of 2026-11-19"},
			{"EUR", "CHF", "2026-11-20", "0.93 of 2026-11-20"},
			{"EUR", "USD", "2026-11-23", "1.2 of 2026-11-20"},
			{"EUR", "USD", "2026-11-25", "1.25 of 2026-11-25"},
			{"EUR", "SEK", "2026-11-18", "11 of 2026-11-17"}, // a day before all that were known
		} {
			if x, ok := snap.Exchange(c.from, c.to, day(c.date)); !ok || fmt.Sprintf("%s of %s", x.Rate, x.Date) != c.want {
				t.Errorf("%s, %s in %s on %s: %v, want %s", name, c.from, c.to, c.date, x, c.want)
			}
		}
	}
	if x, ok := stepped.Exchange("EUR", "USD", day("2026-11-18")); ok {
		t.Errorf("on a day before all that have dollars: %v", x)
	}
	if x, _ := first.Exchange("EUR", "USD", day("2026-11-25")); x.Rate != money.MustParse("1.162790697674") {
		t.Errorf("the snapshot before has %v", x)
	}

	exported, err := ExportYAML(b.list())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(exported), "  - base: EUR\n    date: 2026-11-20\n    rates: {CHF: 0.93, USD: 1.2}\n") {
		t.Errorf("exported %s", exported)
	}
	if changes := b.must(t, testNow, string(exported)); len(changes) != 0 {
		t.Errorf("applying the export changes %v", changes)
	}
}

// TestExchangeOfSeveralBases: of the same day one that is written so goes before one through another base, then the alphabet.
func TestExchangeOfSeveralBases(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
exchange_rates:
  - {base: AUD, date: 2026-11-01, rates: {JPY: 100, USD: 0.5, CHF: 2}}
  - {base: CHF, date: 2026-11-01, rates: {JPY: 200, USD: 1.6, GBP: 0.8}}
  - {base: USD, date: 2026-11-01, rates: {JPY: 150, GBP: 0.75}}
  - {base: JPY, date: 2026-11-01, rates: {CHF: 0.004}}
  - {base: AUD, date: 2026-11-03, rates: {JPY: 300, USD: 2}}
`)
	snap, err := NewSnapshot(b.list())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, date, want string }{
		{"USD", "JPY", "2026-11-02", "150 of 2026-11-01"},            // USD's own, though AUD and CHF have both
		{"JPY", "USD", "2026-11-02", "0.006666666667 of 2026-11-01"}, // 1/150
		{"JPY", "CHF", "2026-11-02", "0.005 of 2026-11-01"},          // CHF's 1/200: of two that are written the first in the alphabet
		{"CHF", "JPY", "2026-11-02", "200 of 2026-11-01"},
		{"USD", "CHF", "2026-11-02", "0.625 of 2026-11-01"}, // CHF's 1/1.6, not AUD's 2/0.5 = 4
		{"GBP", "JPY", "2026-11-02", "250 of 2026-11-01"},   // CHF's 200/0.8, not USD's 150/0.75 = 200
		{"USD", "JPY", "2026-11-03", "150 of 2026-11-03"},   // AUD's 300/2, the latest day
		{"JPY", "GBP", "2026-11-02", "0.004 of 2026-11-01"}, // CHF's 0.8/200, not USD's 0.75/150 = 0.005: neither is written so
		{"AUD", "AUD", "2026-11-02", "1 of 2026-11-01"},
	} {
		x, ok := snap.Exchange(c.from, c.to, day(c.date))
		if got := fmt.Sprintf("%s of %s", x.Rate, x.Date); !ok || got != c.want {
			t.Errorf("%s in %s on %s: %s, want %s", c.from, c.to, c.date, got, c.want)
		}
	}
}

func TestRatesInAnotherCurrency(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: USD
products:
  - {id: p, rates: [{model: per_unit, unit_price: 7}, {model: per_unit, unit_price: 8, currency: GBP}]}
  - {id: both, rates: [{model: per_unit, unit_price: 7}, {model: per_unit, unit_price: 9, currency: EUR, end: 2026-12-01}]}
packages:
  - {id: k, products: [{product: both, rates: [{model: per_unit, unit_price: 6, currency: CAD}, {model: per_unit, unit_price: 5, currency: GBP, start: 2026-11-10}]}]}
accounts:
  - {id: euro, currency: EUR, time_zone: Europe/Berlin}
  - {id: byhand, currency: EUR, cycle: {every: manual}}
`)
	price := func(account, product, pkg, time string) string {
		t.Helper()
		p := b.plan(t, account)
		answer, refusal := p.Resolve(p.Snapshot().Product(product), pkg, at(time))
		if refusal != "" {
			return string(refusal)
		}
		from, until := p.Constant(p.Snapshot().Product(product), pkg, at(time))
		if at(time) < from || at(time) >= until {
			t.Errorf("%s at %s: constant from %d to %d", product, time, from, until)
		}
		return answer.Rate.UnitPrice.String()
	}
	if got := price("euro", "p", "", "2026-11-20T10:00:00Z"); got != "no_rate" {
		t.Errorf("without exchange rates: %s", got)
	}
	b.must(t, testNow, `exchange_rates: [{base: EUR, date: 2026-11-02, rates: {USD: 1.15}}, {base: EUR, date: 2026-11-10, rates: {USD: 1.2, GBP: 0.8, CAD: 1.5}}]`)
	for _, c := range []struct{ account, product, pkg, time, want string }{
		{"euro", "p", "", "2026-11-20T10:00:00Z", "no_rate"},   // on the first of November nothing was known
		{"euro", "p", "", "2026-11-30T22:59:59Z", "no_rate"},   // December begins in Berlin at 23:00
		{"euro", "p", "", "2026-11-30T23:00:00Z", "7"},         // the catalogue's currency before pounds
		{"euro", "both", "", "2026-11-20T10:00:00Z", "9"},      // in the account's own
		{"euro", "both", "", "2026-12-20T10:00:00Z", "7"},      // which has ended
		{"euro", "both", "k", "2026-11-09T10:00:00Z", "9"},     // no dollar of Canada can be converted
		{"euro", "both", "k", "2026-11-20T10:00:00Z", "5"},     // pounds, since the tenth, and of that day a rate is known
		{"euro", "both", "k", "2026-12-20T10:00:00Z", "6"},     // CAD before GBP, by the alphabet
		{"byhand", "p", "", "2026-12-20T10:00:00Z", "no_rate"}, // its period has no first day
		{"byhand", "both", "k", "2026-12-20T10:00:00Z", "5"},   // but the rate has
		{"byhand", "both", "k", "2026-11-09T22:59:59Z", "9"},   // in UTC
		{"byhand", "both", "", "2026-12-20T10:00:00Z", "no_rate"},
	} {
		if got := price(c.account, c.product, c.pkg, c.time); got != c.want {
			t.Errorf("%s %s %s at %s: %s, want %s", c.account, c.product, c.pkg, c.time, got, c.want)
		}
	}
	p := b.plan(t, "euro")
	var why []string
	for _, s := range p.Explain(p.Snapshot().Product("p"), "", at("2026-11-20T10:00:00Z")) {
		why = append(why, s.Why)
	}
	if got := strings.Join(why, "\n"); !strings.Contains(got, "is in USD, the account is in EUR, and no exchange rate between them is known before 2026-11-30T23:00:00Z") {
		t.Errorf("why: %s", got)
	}
}

// TestExchangeOf: the rate of the day on which a price takes effect in a period, as its account's calendar shows it.
func TestExchangeOf(t *testing.T) {
	b := newBook()
	b.must(t, at("2026-10-10T00:00:00Z"), `
currency: EUR
products: [{id: p, rates: [{model: flat, amount: 1, currency: USD, end: 2026-11-03}, {model: flat, amount: 2, currency: USD, start: 2026-11-03}, {model: flat, amount: 1, currency: CHF}]}]
accounts: [{id: berlin, time_zone: Europe/Berlin}, {id: franc, currency: CHF}, {id: early, products: [{product: p, rates: [{model: flat, amount: 5, currency: USD, start: 2026-10-01}]}]}]
exchange_rates:
  - {base: AUD, date: 2026-09-01, rates: {JPY: 100}}
  - {base: EUR, date: 2026-11-10, rates: {USD: 1.1}}
  - {base: USD, date: 2026-11-01, rates: {EUR: 0.9}}
  - {base: USD, date: 2026-11-02, rates: {EUR: 0.8}}
  - {base: ZAR, date: 2026-11-12, rates: {EUR: 0.05, USD: 0.06}}
`)
	rates := b.plan(t, "berlin").Snapshot().Product("p").Rates
	franc, first, second := rates[0], rates[1], rates[2]
	november := Period{at("2026-10-31T23:00:00Z"), at("2026-11-30T23:00:00Z")} // in Berlin
	for _, c := range []struct {
		account string
		rate    *Rate
		period  Period
		want    string
	}{
		{"berlin", first, november, "0.9 of 2026-11-01"},
		{"berlin", first, Period{november.Start - 1, november.End}, "none"}, // which is the day before
		{"berlin", second, november, "0.8 of 2026-11-02"},                   // it begins at one o'clock on the third: the last known day is the second
		{"berlin", first, Period{Always, Never}, "none"},
		{"berlin", second, Period{Always, Never}, "0.8 of 2026-11-02"},
		{"franc", franc, november, "0 of 1970-01-01"}, // no exchange
		{"franc", franc, Period{Always, Never}, "0 of 1970-01-01"},
		{"franc", first, november, "none"},
	} {
		got := "none"
		if x, ok := b.plan(t, c.account).ExchangeOf(c.rate, c.period); ok {
			got = fmt.Sprintf("%s of %s", x.Rate, x.Date)
		}
		if got != c.want {
			t.Errorf("%s, %s in %v: %s, want %s", c.account, c.rate.Currency, c.period, got, c.want)
		}
	}
	// Usage is priced from the first period on whose first day a rate is known: of any base, and not of a price that began before.
	for _, c := range []struct{ account, when, want string }{
		{"berlin", "2026-10-31T22:59:59Z", "no_rate"}, {"berlin", "2026-10-31T23:00:00Z", "USD"}, {"early", "2026-10-31T23:59:59Z", "no_rate"}, {"early", "2026-11-01T00:00:00Z", "USD"},
	} {
		p := b.plan(t, c.account)
		answer, refusal := p.Resolve(p.Snapshot().Product("p"), "", at(c.when))
		got := string(refusal)
		if refusal == "" {
			got = answer.Rate.Currency
		}
		if got != c.want {
			t.Errorf("%s at %s: %s, want %s", c.account, c.when, got, c.want)
		}
	}
}

const dailyCSV = "Date, USD, JPY, BGN, CYP, CZK, \n20 November 2026, 1.1592, 181.20, 1.9558, 0.58, N/A, \n"

const allCSV = "Date,USD,JPY,ISK,EEK,\r\n2026-11-20,1.1592,181.20,N/A,15.6466,\r\n2026-11-19,1.15,N/A,147.5,15.6466,\r\n1999-01-04,1.1789,133.73,,N/A,\r\n"

func TestReadExchangeCSV(t *testing.T) {
	for _, c := range []struct{ text, from, want, passed string }{
		{dailyCSV, "1900-01-01", "1 day, 2026-11-20 to 2026-11-20: 2026-11-20 BGN 1.9558 JPY 181.2 USD 1.1592", "CYP"},
		{allCSV, "1900-01-01", "3 day, 1999-01-04 to 2026-11-20: 1999-01-04 JPY 133.73 USD 1.1789; 2026-11-19 ISK 147.5 USD 1.15; 2026-11-20 JPY 181.2 USD 1.1592", "EEK"},
		{"\xef\xbb\xbf" + allCSV, "2026-11-20", "1 day, 2026-11-20 to 2026-11-20: 2026-11-20 JPY 181.2 USD 1.1592", "EEK"},
		{"Date,EUR,USD\n2026-11-20,1,N/A\n", "1900-01-01", "0 day, 1970-01-01 to 1970-01-01: ", "EUR"},
		{"Date,USD ,JPY\n   \n2026-11-20, \"1.1\",  \n", "1900-01-01", "1 day, 2026-11-20 to 2026-11-20: 2026-11-20 USD 1.1", ""}, // spaces, a line of spaces
		{"Date,USD\n2026-11-20,1000000000000000\n", "1900-01-01", "1 day, 2026-11-20 to 2026-11-20: 2026-11-20 USD 1000000000000000", ""},
	} {
		x, err := ReadExchangeCSV("rates.csv", "EUR", day(c.from), []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		b := newBook()
		if _, err := b.apply("rates.json", string(x.Document), testNow); err != nil {
			t.Fatal(err)
		}
		var days []string
		for date := x.First; date <= x.Last; date++ {
			row, ok := b.rows[Ref{KindExchangeRates, "EUR@" + date.String()}]
			if !ok {
				continue
			}
			var d exchangeDef
			if err := unmarshal(row, &d); err != nil {
				t.Fatal(err)
			}
			text := d.Date
			for _, currency := range []string{"BGN", "CYP", "CZK", "EEK", "EUR", "ISK", "JPY", "USD"} {
				if rate, ok := d.Rates[currency]; ok {
					text += " " + currency + " " + rate.String()
				}
			}
			days = append(days, text)
		}
		got := fmt.Sprintf("%d day, %s to %s: %s", x.Days, x.First, x.Last, strings.Join(days, "; "))
		if got != c.want || strings.Join(x.Passed, " ") != c.passed {
			t.Errorf("%q: %s, passed over %v; want %s, %s", c.text, got, x.Passed, c.want, c.passed)
		}
	}
	for text, want := range map[string]string{
		"":                      `rates.csv: is empty: want the header Date, USD, JPY, … and a line a day`,
		"USD,Date\n1,2\n":       `rates.csv:1: must begin with the header Date, USD, JPY, …, not with "USD"`,
		"Date,Dollar,USD,USD\n": "rates.csv:1: column 2, \"Dollar\", is not a currency: use codes of ISO 4217 such as USD\nrates.csv:1: has the column USD twice",
		"Date,USD\n20.11.2026,1\n2026-11-20,-1\n\n2026-11-19,1,2\n2026-11-18,1.1234567890123\n": `rates.csv:2: must begin with a date such as 2026-11-20 or 20 November 2026, not "20.11.2026"
rates.csv:3: USD must be a decimal number above 0 with at most 12 decimals, or N/A, not "-1"
rates.csv:5: has 3 cells, more than the 2 of the header
rates.csv:6: USD must be a decimal number above 0 with at most 12 decimals, or N/A, not "1.1234567890123"`,
		"Date,usd,EURO\n": "rates.csv:1: column 2, \"usd\", is not a currency: use codes of ISO 4217 such as USD\nrates.csv:1: column 3, \"EURO\", is not a currency: use codes of ISO 4217 such as USD",
		"Date,USD\n,1\n2026-11-20,0\n2026-11-19,1000000000000000.1\n2026-11-18,much\n": `rates.csv:2: must begin with a date such as 2026-11-20 or 20 November 2026, not ""
rates.csv:3: USD must be a decimal number above 0 with at most 12 decimals, or N/A, not "0"
rates.csv:4: USD must be a decimal number above 0 with at most 12 decimals, or N/A, not "1000000000000000.1"
rates.csv:5: USD must be a decimal number above 0 with at most 12 decimals, or N/A, not "much"`,
		"Date,USD\n2026-11-20,1\"2\ntoday,1\n": `rates.csv:2: cannot be read as CSV: parse error on line 2, column 13: bare " in non-quoted-field`, // nothing behind it is read
		"Date,USD\n2026-11-20,\"1\n":           `rates.csv:2: cannot be read as CSV: parse error on line 2, column 15: extraneous or missing " in quoted-field`,
	} {
		if _, err := ReadExchangeCSV("rates.csv", "EUR", 0, []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
	if _, err := ReadExchangeCSV("rates.csv", "EURO", 0, []byte(dailyCSV)); err == nil {
		t.Error("EURO is a base")
	}
	// After the hundredth mistake a file is read no further.
	_, err := ReadExchangeCSV("rates.csv", "EUR", 0, []byte("Date,USD\n"+strings.Repeat("today,1\n", maxIssues+50)))
	if issues, ok := errors.AsType[*Issues](err); !ok || len(issues.List) != maxIssues || issues.More != 0 {
		t.Error(err)
	}
}

// history is 25 years of working days with 30 currencies.
func history(b *testing.B) []Row {
	b.Helper()
	currencies := strings.Fields("USD JPY BGN CZK DKK GBP HUF PLN RON SEK CHF ISK NOK TRY AUD BRL CAD CNY HKD IDR ILS INR KRW MXN MYR NZD PHP SGD THB ZAR")
	var text strings.Builder
	text.WriteString("Date," + strings.Join(currencies, ",") + "\n")
	for at, days := time.Date(2001, 11, 26, 0, 0, 0, 0, time.UTC), 0; days < 25*365; at, days = at.AddDate(0, 0, 1), days+1 {
		if at.Weekday() == time.Saturday || at.Weekday() == time.Sunday {
			continue
		}
		text.WriteString(at.Format(time.DateOnly))
		for i := range currencies {
			fmt.Fprintf(&text, ",%d.%04d", i*7+1, (days*37+i*91)%10_000)
		}
		text.WriteString("\n")
	}
	file, err := ReadExchangeCSV("hist.csv", "EUR", 0, []byte(text.String()))
	if err != nil {
		b.Fatal(err)
	}
	book := newBook()
	if _, err := book.apply("hist.json", string(file.Document), testNow); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d days, a document of %d kB", file.Days, len(file.Document)>>10)
	return book.list()
}

func BenchmarkExchange(b *testing.B) {
	rows := history(b)
	snap, err := NewSnapshot(rows)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("read 25 years", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := NewSnapshot(rows); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("one day more", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := snap.With(rows[:1], 9); err != nil {
				b.Fatal(err)
			}
		}
	})
	sunday := day("2026-11-22")
	for _, pair := range [][2]string{{"EUR", "USD"}, {"JPY", "ZAR"}} {
		b.Run(pair[0]+" in "+pair[1], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := snap.Exchange(pair[0], pair[1], sunday); !ok {
					b.Fatal("none")
				}
			}
		})
	}
}
