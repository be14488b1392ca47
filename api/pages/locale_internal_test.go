package pages

import (
	"testing"
	"time"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

func TestSeparatorsFollowTheBrowsersLanguage(t *testing.T) {
	for _, c := range []struct{ header, number, amount string }{
		{"", "−1,234,567.5", "−€1,234,567.50"},
		{"en-US,en;q=0.9", "−1,234,567.5", "−€1,234,567.50"},
		{"de-DE,de;q=0.9,en;q=0.8", "−1.234.567,5", "−1.234.567,50\u00a0€"},
		{"fr", "−1\u202f234\u202f567,5", "−1\u202f234\u202f567,50\u00a0€"},
		{"de-CH", "−1’234’567.5", "−€1’234’567.50"},
		{"xx-YY, fr;q=0.3, de;q=0.7", "−1.234.567,5", "−1.234.567,50\u00a0€"},
		{"de;q=0, en;q=0.1", "−1,234,567.5", "−€1,234,567.50"},
		{";;q=,,,\x00;q=x", "−1,234,567.5", "−€1,234,567.50"},
	} {
		l := localeOf(c.header)
		d := money.MustParse("-1234567.5")
		if got := l.number(d); got != c.number {
			t.Errorf("%q: number %q, want %q", c.header, got, c.number)
		}
		if got := l.money(d, "EUR"); got != c.amount {
			t.Errorf("%q: amount %q, want %q", c.header, got, c.amount)
		}
	}
}

func TestAmounts(t *testing.T) {
	german := locales["de"]
	for _, c := range []struct {
		name, got, want string
	}{
		{"half away from zero", english.money(money.MustParse("12.345"), "USD"), "$12.35"},
		{"negative half", english.money(money.MustParse("-12.345"), "USD"), "−$12.35"},
		{"a currency without decimals", english.money(money.MustParse("1234.5"), "JPY"), "¥1,235"},
		{"a currency with three", english.money(money.MustParse("1.2345"), "KWD"), "KWD\u00a01.235"},
		{"four digits in Spanish stay together", locales["es"].number(money.MustParse("1234")), "1234"},
		{"five do not", locales["es"].number(money.MustParse("12345")), "12.345"},
		{"too small to show", english.small(money.MustParse("0.004"), "USD"), "<\u00a0$0.01"},
		{"too small and negative", english.small(money.MustParse("-0.004"), "USD"), ">\u00a0−$0.01"},
		{"just large enough", english.small(money.MustParse("0.005"), "USD"), "$0.01"},
		{"nothing", english.small(money.Zero, "USD"), "$0.00"},
		{"too small without decimals", english.small(money.MustParse("0.4"), "JPY"), "<\u00a0¥1"},
		{"all digits", english.exact(money.MustParse("0.000000000001"), "USD"), "$0.000000000001"},
		{"at least the currency's", german.exact(money.MustParse("12.5"), "EUR"), "12,50\u00a0€"},
		{"whole", german.exact(money.MustParse("12"), "EUR"), "12,00\u00a0€"},
		{"full", english.full(money.MustParse("12.5"), "USD"), "12.500000000000\u00a0USD"},
		{"an equation", german.equation("1000 × 0.1 + 50.5 × 0.05 = 102.525"), "1.000 × 0,1 + 50,5 × 0,05 = 102,525"},
		{"names keep their digits", german.equation("contract:c-1000 tier1 up to 1000."), "contract:c-1000 tier1 up to 1.000."},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.name, c.got, c.want)
		}
	}
}

func TestRatesInWords(t *testing.T) {
	tiers := []catalog.Tier{{UpTo: money.FromInt(1000)}, {UpTo: money.FromInt(5000), UnitPrice: money.MustParse("0.05"), FlatPrice: money.FromInt(3)}, {Last: true, UnitPrice: money.MustParse("0.0375")}}
	for _, c := range []struct {
		name string
		rate catalog.Rate
		want []rateLine
	}{
		{"per unit", catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.MustParse("0.1")}, []rateLine{{"", "$0.10 per request"}}},
		{"flat", catalog.Rate{Model: catalog.ModelFlat, Amount: money.FromInt(9)}, []rateLine{{"", "$9.00 once per period with usage"}}},
		{"package", catalog.Rate{Model: catalog.ModelPackage, Size: money.FromInt(10), Price: money.FromInt(15), Free: money.One},
			[]rateLine{{"First 1\u00a0request", "free"}, {"Each started 10\u00a0requests", "$15.00"}}},
		{"graduated", catalog.Rate{Model: catalog.ModelGraduated, Tiers: tiers}, []rateLine{
			{"Up to 1,000\u00a0requests", "included"}, {"Above 1,000, up to 5,000\u00a0requests", "$0.05 per request + $3.00 flat"}, {"Above 5,000\u00a0requests", "$0.0375 per request"}}},
		{"volume, half open", catalog.Rate{Model: catalog.ModelVolume, HalfOpenBounds: true, Tiers: tiers[1:]}, []rateLine{
			{"Below 5,000\u00a0requests, all at", "$0.05 per request + $3.00 flat"}, {"Above 5,000\u00a0requests, all at", "$0.0375 per request"}}},
		{"limits", catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One, Included: money.FromInt(10), Maximum: money.FromInt(50), Minimum: money.FromInt(5)},
			[]rateLine{{"First 10\u00a0requests", "included"}, {"", "$1.00 per request"}, {"At most", "$50.00"}, {"At least", "$5.00"}}},
		{"by day", catalog.Rate{Model: catalog.ModelVolume, ProrateByDay: true, Tiers: tiers[2:]},
			[]rateLine{{"Any amount, all at", "$0.0375 per request"}, {"Each unit", "from its day to the end of the period"}}},
		{"blocks", catalog.Rate{Model: catalog.ModelBlockGraduated, Blocks: []catalog.Block{
			{Size: money.FromInt(10), UpTo: money.FromInt(100), Price: money.One}, {Size: money.FromInt(50), UpTo: money.FromInt(1000), Price: money.FromInt(4)},
			{Size: money.FromInt(100), Price: money.FromInt(6), Last: true},
		}}, []rateLine{{"Up to 100\u00a0requests", "$1.00 per started 10\u00a0requests"}, {"Above 100, up to 1,000\u00a0requests", "$4.00 per started 50\u00a0requests"},
			{"Above 1,000\u00a0requests", "$6.00 per started 100\u00a0requests"}}},
		{"blocks, all in one", catalog.Rate{Model: catalog.ModelBlockVolume, Blocks: []catalog.Block{{Size: money.FromInt(5), Price: money.One, Last: true}}},
			[]rateLine{{"Any amount, all at", "$1.00 per started 5\u00a0requests"}}},
		{"dynamic", catalog.Rate{Model: catalog.ModelDynamic}, []rateLine{{"", "the amount of each event"}}},
		{"percentage", catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: money.MustParse("2.9"), Fixed: money.MustParse("0.3")}},
			[]rateLine{{"Of the value of each event", "2.9\u00a0% + $0.30"}}},
		{"percentage with bounds", catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{
			Rate: money.One, FreeEvents: 3, FreeAmount: money.FromInt(1000), HasMin: true, Min: money.One, HasMax: true, Max: money.FromInt(9)}},
			[]rateLine{{"First 3\u00a0events", "free"}, {"First $1,000.00", "free"}, {"Of the value of each event", "1\u00a0%, at least $1.00, at most $9.00"}}},
		{"graduated percentage", catalog.Rate{Model: catalog.ModelGraduatedPercentage, Tiers: tiers}, []rateLine{
			{"Up to $1,000.00", "included"}, {"Above $1,000.00, up to $5,000.00", "0.05\u00a0% + $3.00 flat"}, {"Above $5,000.00", "0.0375\u00a0%"}}},
	} {
		c.rate.Currency = "USD"
		got := english.rateLines(&c.rate, "request")
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", c.name, got)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: line %d is %q, want %q", c.name, i, got[i], c.want[i])
			}
		}
	}
	foreign := catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One, Currency: "USD"}
	if got := english.rateLinesIn(&foreign, "request", "EUR"); len(got) != 2 || got[1].For != "Charged in EUR" {
		t.Errorf("a rate in dollars charged in euros: %v", got)
	}
	if got := english.rateLinesIn(&foreign, "request", "USD"); len(got) != 1 {
		t.Errorf("a rate in dollars charged in dollars: %v", got)
	}
	if got := english.rateLines(nil, "request"); got != nil {
		t.Errorf("no rate: %v", got)
	}
}

func TestPeriodNames(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, zone) }
	for _, c := range []struct {
		start, end time.Time
		want       string
	}{
		{day(2026, 11, 1), day(2026, 12, 1), "November 2026"},
		{day(2026, 10, 1), day(2026, 11, 1), "October 2026"}, // 745 hours long
		{day(2026, 1, 1), day(2027, 1, 1), "2026"},
		{day(2026, 11, 15), day(2026, 12, 15), "15 Nov – 14 Dec 2026"},
		{day(2026, 12, 28), day(2027, 1, 4), "28 Dec 2026 – 3 Jan 2027"},
		{day(2026, 11, 2), day(2026, 11, 9), "2 – 8 Nov 2026"},
		{day(2026, 11, 2), day(2026, 11, 3), "2 Nov 2026"},
	} {
		if got := periodName(c.start, c.end); got != c.want {
			t.Errorf("%s to %s: %q, want %q", c.start, c.end, got, c.want)
		}
	}
}

func TestChartAxis(t *testing.T) {
	for _, c := range []struct {
		low, high, first, last float64
		ticks                  int
	}{
		{0, 100, 0, 100, 5}, {0, 101, 0, 150, 4}, {0, 0.0007, 0, 0.0008, 5}, {-20, 75, -25, 75, 5}, {0, 1e15, 0, 1e15, 5},
	} {
		ticks, g := axis(c.low, c.high)
		if len(ticks) != c.ticks || g.low > c.low || g.high < c.high || g.low-c.first > 1e-9 || g.high-c.last > 1e-9*c.last {
			t.Errorf("axis(%v, %v): %v in %+v", c.low, c.high, ticks, g)
		}
	}
	for _, c := range []struct {
		v, step float64
		want    string
	}{{0, 25, "$0"}, {50, 25, "$50"}, {2.5, 2.5, "$2.5"}, {0.25, 0.25, "$0.25"}, {0.5, 0.5, "$0.5"}, {1000, 1000, "$1,000"}, {-5, 5, "−$5"}} {
		if got := english.tickLabel(c.v, c.step, "USD"); got != c.want {
			t.Errorf("label of %v in steps of %v: %q, want %q", c.v, c.step, got, c.want)
		}
	}
}

// TestCorrectionLine is named by the invoice that it is of, and has no price.
func TestCorrectionLine(t *testing.T) {
	line := invoicer.Line{
		ID: "l", UsageAccount: "acme", Amount: money.Fixed{Decimal: money.MustParse("-2.5")}, Rate: invoicer.LineRate{Level: "correction"},
		UsagePeriod: &invoicer.Period{Start: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)},
		Corrects:    &invoicer.Corrected{Invoice: "c", Line: "x"},
	}
	if v := english.viewLine(&line, false, "/a", "acme", &invoicer.Invoice{Account: "acme", Currency: "USD"}); v.Name != "correction for October 2026" || v.Level != correctionWords || v.Quantity != "" {
		t.Errorf("%+v", v)
	}
}

func FuzzEquation(f *testing.F) {
	f.Add("1000 × 0.1 = 100")
	f.Add("1.2.3-4..5 .")
	f.Fuzz(func(t *testing.T, text string) {
		if got := english.equation(text); len(got) < len(text) {
			t.Errorf("%q lost something: %q", text, got)
		}
	})
}

func FuzzLocale(f *testing.F) {
	f.Add("de-DE,de;q=0.9,en;q=0.8")
	f.Fuzz(func(t *testing.T, header string) {
		if l := localeOf(header); l.decimal == "" || l.group == l.decimal {
			t.Errorf("%q gives %+v", header, l)
		}
	})
}
