package pages_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tollstream/tollstream/api/pages"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// demo is a source whose figures are made by hand; the tests change them while pages are open.
type demo struct {
	mu       sync.Mutex
	extra    int64 // calls of api-calls that arrived after the start
	watchers map[chan struct{}]bool
	retried  []pages.RejectedFilter
	begun    []pages.RerateQuestion
	rated    int64 // accounts that the running job has finished after the start
	fail     error
	many     int // so many lines instead of the usual ones
	lines    []invoicer.Line
	empty    bool
	calm     bool // nothing is wrong on the operator's page
}

var berlin = mustZone("Europe/Berlin")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

func dec(text string) money.Decimal { return money.MustParse(text) }
func fix(text string) money.Fixed   { return money.Fixed{Decimal: dec(text)} }
func ptr[T any](v T) *T             { return &v }

// demoNow is 21 November 2026, 10:30 in Berlin: ten days are left, today included.
func demoNow() time.Time { return time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC) }

var november = invoicer.Period{
	Start: time.Date(2026, 11, 1, 0, 0, 0, 0, berlin), End: time.Date(2026, 12, 1, 0, 0, 0, 0, berlin),
}
var october = invoicer.Period{Start: time.Date(2026, 10, 1, 0, 0, 0, 0, berlin), End: november.Start}

const lineID = "7d1f0c5a9b3e4d2186f0a1b2c3d4e5f6"

func (d *demo) CustomerInvoice(_ context.Context, account, period string) (*pages.Overview, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	if account == "nobody" {
		return nil, pages.ErrNotFound
	}
	o := &pages.Overview{
		Invoice: invoicer.Invoice{
			ID: "inv-1", Account: account, AccountName: "Acme Logistics GmbH", State: invoicer.StateCurrent, Currency: "EUR",
			TimeZone: "Europe/Berlin", Period: november, RatedThrough: demoNow().Add(-120 * time.Millisecond),
		},
		Periods: []pages.PeriodChoice{
			{Period: november, Total: fix("1843.20"), Current: true},
			{Period: october, Total: fix("2410.774")},
		},
		Prices: demoPrices(account),
	}
	switch {
	case d.empty:
		o.Periods = o.Periods[:1]
		return o, nil
	case period == "2026-10-01":
		o.Invoice.Period, o.Invoice.State = october, invoicer.StateSealed
	case d.many > 0:
		if d.lines == nil {
			d.lines = manyLines(account, d.many)
		}
		o.Invoice.Lines = d.lines
	}
	if o.Invoice.Lines == nil {
		o.Invoice.Lines = demoLines(account, d.extra)
	}
	for i := range o.Invoice.Lines {
		sum, err := o.Invoice.Total.Add(o.Invoice.Lines[i].Amount.Decimal)
		if err != nil {
			return nil, err
		}
		o.Invoice.Total.Decimal = sum
	}
	o.Invoice.Forecast = &invoicer.Forecast{Low: fix("2310.4"), High: fix("2655.9"), Days: 7}
	o.Days, o.PreviousDays = demoDays(21, 7), demoDays(31, 3)
	if account == "acme" {
		o.Parent = &pages.AccountRef{ID: "acme-group", Name: "Acme Group"}
		o.Children = []pages.Child{
			{ID: "acme-lab", Name: "Acme Lab", Depth: 1, Currency: "EUR", Total: fix("214.6")},
			{ID: "acme-us", Name: "Acme Logistics Inc.", Depth: 1, Invoiced: true, Currency: "USD", Total: fix("512.75")},
		}
	}
	o.RecentSince = demoNow().Add(-15 * time.Minute)
	o.Recent = []pages.Movement{
		{Line: lineID, UsageAccount: account, Product: "api-calls", ProductName: "API calls", Unit: "request",
			Quantity: money.FromInt(1240 + d.extra), Events: 1240, Charge: fix("62"), Last: demoNow().Add(-2 * time.Second)},
		{Line: "l-voice-de", UsageAccount: account, Product: "voice", ProductName: "Voice minutes", Unit: "minute", Attributes: map[string]string{"region": "de"},
			Quantity: dec("31.5"), Events: 12, Charge: fix("0.2835"), Last: demoNow().Add(-41 * time.Second)},
		{Line: "l-storage", UsageAccount: "acme-lab", Product: "storage", ProductName: "Object storage", Unit: "GB",
			Quantity: dec("-4"), Events: 1, Charge: fix("-0.092"), Last: demoNow().Add(-6 * time.Minute)},
	}
	return o, nil
}

func demoLines(account string, extra int64) []invoicer.Line {
	calls := money.FromInt(18250 + extra)
	callsAmount, err := calls.Mul(dec("0.05"))
	if err != nil {
		panic(err)
	}
	callsAmount, err = callsAmount.Add(dec("50")) // the first 1,000 cost twice as much
	if err != nil {
		panic(err)
	}
	return []invoicer.Line{
		{ID: lineID, UsageAccount: account, Product: "api-calls", ProductName: "API calls", Unit: "request", Quantity: calls, Events: 9120 + extra,
			Amount: money.Fixed{Decimal: callsAmount}, Rate: invoicer.LineRate{Level: "contract", Account: account, ID: "contract:c-1/api-calls", Model: "graduated"},
			Next: &invoicer.NextStep{From: dec("1000"), UpTo: ptr(dec("25000")), UnitPrice: ptr(dec("0.05")), Then: ptr(dec("0.03"))}},
		{ID: "l-voice-de", UsageAccount: account, Product: "voice", ProductName: "Voice minutes", Unit: "minute", Attributes: map[string]string{"region": "de"},
			Quantity: dec("31220.5"), Events: 10211, Amount: fix("280.9845"), Package: ptr("starter"),
			Rate: invoicer.LineRate{Level: "account_package_product", Account: account, ID: "r-2", Model: "per_unit"},
			Next: &invoicer.NextStep{From: money.Zero, UnitPrice: ptr(dec("0.009"))}},
		{ID: "l-voice-us", UsageAccount: account, Product: "voice", ProductName: "Voice minutes", Unit: "minute", Attributes: map[string]string{"region": "us"},
			Quantity: dec("4120.25"), Events: 1311, Amount: fix("61.80375"), Package: ptr("starter"),
			Rate: invoicer.LineRate{Level: "package_default", ID: "r-3", Model: "per_unit"},
			Next: &invoicer.NextStep{From: money.Zero, UnitPrice: ptr(dec("0.015"))}},
		{ID: "l-voice-late", UsageAccount: account, Product: "voice", ProductName: "Voice minutes", Unit: "minute", Attributes: map[string]string{"region": "fr"},
			Quantity: dec("12"), Events: 2, Amount: fix("0.18"), UsagePeriod: &october,
			Rate: invoicer.LineRate{Level: "product_default", ID: "r-4", Model: "per_unit"}},
		{ID: "l-storage", UsageAccount: "acme-lab", Product: "storage", ProductName: "Object storage", Unit: "GB", Quantity: dec("412"), Events: 88,
			Amount: fix("214.6"), Rate: invoicer.LineRate{Level: "rate_class", Account: "acme-group", ID: "r-5", Model: "volume"},
			Next: &invoicer.NextStep{From: dec("100"), UpTo: ptr(dec("500")), UnitPrice: ptr(dec("0.52")), Then: ptr(dec("0.41"))}},
		{ID: "l-sms", UsageAccount: account, Product: "sms", ProductName: "Text messages", Unit: "message", Quantity: dec("640"), Events: 640,
			Amount: fix("0"), Rate: invoicer.LineRate{Level: "account_product", Account: account, ID: "r-6", Model: "graduated"},
			Next: &invoicer.NextStep{From: money.Zero, UpTo: ptr(dec("1000")), UnitPrice: ptr(money.Zero), Then: ptr(dec("0.04"))}},
		{ID: "l-seats", UsageAccount: account, Product: "reports", ProductName: "Report exports", Unit: "export", Quantity: dec("3"), Events: 3,
			Amount: fix("15"), Rate: invoicer.LineRate{Level: "product_default", ID: "r-7", Model: "package"},
			Next: &invoicer.NextStep{From: money.Zero, UpTo: ptr(dec("10")), UnitPrice: ptr(money.Zero), Then: ptr(dec("15"))}},
	}
}

// manyLines are lines as an invoice of a carrier has them: few products, very many prefixes.
func manyLines(account string, n int) []invoicer.Line {
	lines := make([]invoicer.Line, n)
	for i := range lines {
		lines[i] = invoicer.Line{
			ID: fmt.Sprintf("%032x", 0xabcdef0123456789+uint64(i)), UsageAccount: account, Product: fmt.Sprintf("voice-%d", i%4),
			ProductName: fmt.Sprintf("Voice minutes %d", i%4), Unit: "minute", Attributes: map[string]string{"prefix": fmt.Sprintf("+%d", 4930000+i)},
			Quantity: dec("1234.5"), Events: 321, Amount: fix(fmt.Sprintf("%d.123456789012", 12+i%997)),
			Rate: invoicer.LineRate{Level: "contract", Account: account, ID: "r-1", Model: "graduated"},
			Next: &invoicer.NextStep{From: money.Zero, UpTo: ptr(dec("2000")), UnitPrice: ptr(dec("0.05")), Then: ptr(dec("0.03"))},
		}
	}
	return lines
}

func demoDays(n, seed int) []pages.DayCharges {
	days := make([]pages.DayCharges, 0, n)
	for i := range n {
		weekend := (i+seed)%7 >= 5
		amount := func(base, swing int) money.Fixed {
			v := base + (i*seed*13+i*i)%swing
			if weekend {
				v /= 3
			}
			return fix(fmt.Sprintf("%d.%02d", v, (i*37)%100))
		}
		days = append(days, pages.DayCharges{Day: fmt.Sprintf("2026-11-%02d", i+1), Charges: []pages.ProductCharge{
			{Product: "api-calls", Amount: amount(38, 19)}, {Product: "voice", Amount: amount(14, 9)},
			{Product: "storage", Amount: amount(9, 4)}, {Product: "reports", Amount: amount(1, 2)},
		}})
	}
	for i := range days { // 21 days are this period's, 31 the one's before
		month := 11
		if n == 31 {
			month = 10
		}
		days[i].Day = fmt.Sprintf("2026-%02d-%02d", month, i+1)
	}
	return days
}

func demoPrices(account string) []pages.Price {
	rate := func(r catalog.Rate) *catalog.Rate {
		r.Currency = "EUR"
		if r.End == 0 {
			r.End = catalog.Never
		}
		return &r
	}
	return []pages.Price{
		{Product: "api-calls", ProductName: "API calls", Unit: "request", OwnerName: "Frame agreement 2026", Rate: rate(catalog.Rate{
			ID: "contract:c-1/api-calls", Model: catalog.ModelGraduated, Level: catalog.LevelContract, OwnerAccount: account,
			End:   time.Date(2027, 1, 1, 0, 0, 0, 0, berlin).UnixNano(),
			Tiers: []catalog.Tier{{UpTo: dec("1000"), UnitPrice: dec("0.10")}, {UpTo: dec("25000"), UnitPrice: dec("0.05")}, {Last: true, UnitPrice: dec("0.03")}}})},
		{Product: "storage", ProductName: "Object storage", Unit: "GB", OwnerName: "Gold", AccountName: "Acme Group", Rate: rate(catalog.Rate{
			ID: "r-5", Model: catalog.ModelVolume, Level: catalog.LevelRateClass, OwnerAccount: "acme-group",
			Tiers: []catalog.Tier{{UpTo: dec("100"), UnitPrice: dec("0.60")}, {UpTo: dec("500"), UnitPrice: dec("0.52")}, {Last: true, UnitPrice: dec("0.41")}}})},
		{Product: "reports", ProductName: "Report exports", Unit: "export", Rate: rate(catalog.Rate{
			ID: "r-7", Model: catalog.ModelPackage, Level: catalog.LevelProductDefault, Size: dec("10"), Price: dec("15")})},
		{Product: "sms", ProductName: "Text messages", Unit: "message", Rate: rate(catalog.Rate{
			ID: "r-6", Model: catalog.ModelGraduated, Level: catalog.LevelAccountProduct, OwnerAccount: account,
			Tiers: []catalog.Tier{{UpTo: dec("1000")}, {Last: true, UnitPrice: dec("0.04")}}})},
		{Product: "voice", ProductName: "Voice minutes", Unit: "minute", Package: "starter", OwnerName: "Starter", Rate: rate(catalog.Rate{
			ID: "r-3", Model: catalog.ModelPerUnit, Level: catalog.LevelPackageDefault, UnitPrice: dec("0.015")})},
	}
}

func (d *demo) Line(_ context.Context, account, id string) (*pages.LineDetail, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	line := demoLines(account, d.extra)[0]
	if id == sharedLineID {
		return demoSharedLine(account, line), nil
	}
	if id != line.ID {
		return nil, pages.ErrNotFound
	}
	rates := demoPrices(account)
	return &pages.LineDetail{
		Account: account, AccountName: "Acme Logistics GmbH", Currency: "EUR", TimeZone: "Europe/Berlin", Period: november, State: invoicer.StateCurrent,
		Line: line,
		Explanation: price.Explanation{
			Equation: "1000 × 0.1 + 17250 × 0.05 = 962.5", Amount: line.Amount.Decimal,
			Segments: []price.SegmentExplanation{{RateID: "contract:c-1/api-calls", Quantity: line.Quantity, Amount: line.Amount.Decimal, Steps: []price.Step{
				{Text: "1000 × 0.1", Label: "tier 1: up to 1000", Amount: dec("100")},
				{Text: "17250 × 0.05", Label: "tier 2: up to 25000", Amount: dec("862.5")},
			}}},
		},
		Rates: []pages.SegmentRate{{Rate: rates[0].Rate}},
		Asked: []pages.LevelStep{
			{Level: catalog.LevelAccountProduct, Account: account, Why: "No price of your own for this product"},
			{Level: catalog.LevelAccountPackageProduct, Account: account, Why: "No package of yours contains it"},
			{Level: catalog.LevelContract, Account: account, RateID: "contract:c-1/api-calls", Why: "Contract c-1 has a price since 1 January 2026", Answered: true},
		},
		Facets: []pages.Facet{{Name: "region", Values: []string{"eu", "us"}}, {Name: "key", Values: []string{"web", "batch", "=cmd()"}}},
		Days:   []string{"2026-11-19", "2026-11-20", "2026-11-21"},
	}, nil
}

const sharedLineID = "5a5a5a5a000000000000000000000001"

// demoSharedLine has its tiers together with others: 18,250 of 40,000 requests, which cost 1,000 × 0.10 and 39,000 × 0.05 together.
func demoSharedLine(account string, line invoicer.Line) *pages.LineDetail {
	line.ID = sharedLineID
	fixed := func(s string) money.Fixed { return money.Fixed{Decimal: dec(s)} }
	return &pages.LineDetail{
		Account: account, AccountName: "Acme Logistics GmbH", Currency: "EUR", TimeZone: "Europe/Berlin", Period: november, State: invoicer.StateCurrent,
		Line: line, Explanation: price.Explanation{Amount: line.Amount.Decimal},
		Shared: []invoicer.Shared{{
			Pool: "invoice", Words: "tiers are shared by all usage of api-calls that account acme pays for",
			Charged: fixed("962.5"), Used: dec("18250"), Of: dec("40000"), Amount: fixed("2050"),
		}},
	}
}

// Charge explains the event that reaches the second tier, the adjustment 3-18224-0, and 3-18231-1 on a line whose tiers are shared.
func (d *demo) Charge(_ context.Context, account, id string) (*invoicer.ChargeDetail, error) {
	if account == "nobody" || id == "0-0-0" {
		return nil, pages.ErrNotFound
	}
	rate := &catalog.Rate{
		ID: "contract:c-1/api-calls", Model: catalog.ModelGraduated, Currency: "EUR", Level: catalog.LevelContract, OwnerAccount: "acme-group",
		Tiers: []catalog.Tier{{UpTo: dec("20000"), UnitPrice: dec("0.05")}, {Last: true, UnitPrice: dec("0.04")}},
	}
	before, after := []price.Segment{{Rate: rate, State: price.State{Sum: dec("19990"), Events: 9}}}, []price.Segment{{Rate: rate, State: price.State{Sum: dec("20010"), Events: 10}}}
	x := &invoicer.ChargeDetail{
		Activity: id, Kind: "usage", Event: "req-90210", Source: "gateway-7", Time: demoNow().Add(-time.Hour), Account: account, Billed: account, Product: "api-calls",
		ProductName: "API calls", Unit: "request", Attributes: map[string]string{"region": "eu"}, Quantity: dec("20"), Currency: "EUR", Line: lineID, Period: november,
		Seq: 12, Rate: &invoicer.Rate{ID: rate.ID, Level: "contract", Model: "graduated"}, Definition: rate,
		Asked: []invoicer.Asked{
			{Level: "account_product", Account: account, Why: "no rate for the product"},
			{Level: "contract", Account: "acme-group", Rate: rate.ID, Why: "in effect, in the account's currency", Answered: true},
		},
	}
	if id == "3-18224-0" {
		old := *rate
		old.Tiers = []catalog.Tier{{UpTo: dec("20000"), UnitPrice: dec("0.06")}, {Last: true, UnitPrice: dec("0.04")}}
		before = []price.Segment{{Rate: &old, State: after[0].State}}
		x.Kind, x.Event, x.Source, x.Quantity, x.Rate, x.Definition, x.Asked = "adjustment", "", "", money.Zero, nil, nil, nil
		x.Cause = &invoicer.Cause{Seq: 12, Before: 11, Changes: []invoicer.RateChange{{Rate: rate.ID, Seq: 12, Member: "tiers[0].unit_price", Before: "0.06", After: "0.05"}}}
	}
	c, total := price.ExplainCharge(before, after), price.Explain(after)
	x.Charge, x.Before, x.After, x.Equation, x.Total = money.Fixed{Decimal: c.Amount}, money.Fixed{Decimal: c.Before}, money.Fixed{Decimal: c.After}, c.Equation, &total
	x.Arithmetic = &invoicer.Arithmetic{Equation: c.Equation, Short: c.Short, Steps: c.Steps}
	if id == "3-18231-1" {
		x.Before, x.After = fix("120"), fix("120.9")
		x.Shared = &invoicer.SharedUse{Pool: "invoice", Words: "tiers are shared by all usage of api-calls that account acme pays for",
			Before: invoicer.Standing{Used: dec("19990"), Tier: "tier 1: up to 20000", Amount: money.Fixed{Decimal: c.Before}},
			After:  invoicer.Standing{Used: dec("20010"), Tier: "tier 2: above 20000", Amount: money.Fixed{Decimal: c.After}}}
	}
	return x, nil
}

func (d *demo) Activities(_ context.Context, _, _ string, f pages.ActivityFilter, cursor string) (*pages.ActivityPage, error) {
	if d.fail != nil {
		return nil, d.fail
	}
	page := &pages.ActivityPage{Events: 60, Quantity: ptr(dec("180")), Charge: ptr(fix("9"))}
	if f.Attributes["region"] == "mars" {
		return &pages.ActivityPage{}, nil
	}
	from := 0
	if cursor != "" {
		from = 30
	} else {
		page.Next = "30"
	}
	for i := from; i < from+30; i++ {
		key := []string{"web", "batch", "=cmd()"}[i%3]
		page.Rows = append(page.Rows, pages.Activity{
			Time: demoNow().Add(-time.Duration(i) * 97 * time.Second), Source: "gateway-7", EventID: fmt.Sprintf("req-%05d", 90210-i),
			Attributes: map[string]string{"region": "eu", "key": key}, Quantity: dec("3"), Charge: fix("0.15"),
			ID: fmt.Sprintf("3-%d-0", 18231-i), RateID: "contract:c-1/api-calls", LineAmount: fix(fmt.Sprintf("%d.5", 962-i)), Adjustment: i == 7,
		})
	}
	return page, nil
}

func (d *demo) Watch(ctx context.Context, account string) (<-chan struct{}, error) {
	if account == "nobody" {
		return nil, pages.ErrNotFound
	}
	ch := make(chan struct{}, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.watchers == nil {
		d.watchers = map[chan struct{}]bool{}
	}
	d.watchers[ch] = true
	context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, ch)
		close(ch)
	})
	return ch, nil
}

// arrive is usage that arrives while pages are open.
func (d *demo) arrive(calls int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.extra += calls
	for ch := range d.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

func (d *demo) Status(context.Context) (*pages.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return nil, d.fail
	}
	now := demoNow()
	s := &pages.Status{
		At: now,
		Stages: []pages.Stage{
			{Name: "collector", Condition: pages.ConditionIdle, LagRecords: -1, LagSeconds: -1, Received: 120044, Forwarded: 120032, Rejected: 12},
			{Name: "api", Condition: pages.ConditionOK, PerSecond: 1241.4, LagRecords: -1, LagSeconds: -1, Received: 9_120_411 + d.extra, Forwarded: 9_120_399, Rejected: 12},
			{Name: "rater", Condition: pages.ConditionOK, PerSecond: 1238.8, LagRecords: 4, LagSeconds: 0.08, Received: 9_240_431, Forwarded: 9_238_710, Duplicates: 1521, Rejected: 200},
			{Name: "live", Condition: pages.ConditionOK, PerSecond: 212, LagRecords: 9, LagSeconds: 0.1, Received: 88_121, Forwarded: 88_121},
			{Name: "sink", Condition: pages.ConditionDegraded, Note: "ClickHouse took 4 s for the last block. Look at its merges.", PerSecond: 410.2, LagRecords: 18_400, LagSeconds: 312,
				Received: 9_220_310, Forwarded: 9_220_310, Errors: 3},
		},
		Stores: []pages.Store{{Name: "Kafka", Ready: true}, {Name: "PostgreSQL", Ready: true}, {Name: "Redis", Ready: true}, {Name: "Reports", Message: "Timeout after 5 s at 127.0.0.1:9000"}},
		Rejected: []pages.ReasonCount{
			{Reason: "account_unknown", Count: 1412, Oldest: now.Add(-30 * time.Hour), Newest: now.Add(-4 * time.Minute)},
			{Reason: "no_rate", Count: 31, Oldest: now.Add(-3 * time.Hour), Newest: now.Add(-2 * time.Hour)},
			{Reason: "duplicate_conflict", Count: 1, Oldest: now.Add(-5 * time.Hour), Newest: now.Add(-5 * time.Hour)},
		},
		Collectors: []pages.Collector{
			{Name: "cdr-berlin", Source: "folder", Where: "/var/in/cdr", Every: "5m", Next: now.Add(3 * time.Minute), LastRun: &demoRuns()[0]},
			{Name: "partner-feed", Source: "sftp", Where: "sftp.partner.example/usage", Every: "1h", LastRun: &demoRuns()[2]},
			{Name: "backfill-2025", Source: "upload"},
		},
	}
	if d.calm {
		s.Stages, s.Rejected, s.Collectors = s.Stages[:4], nil, nil
		s.Stores[3] = pages.Store{Name: "Reports", Ready: true}
	}
	return s, nil
}

func demoRuns() []pages.Run {
	now := demoNow()
	return []pages.Run{
		{ID: "run-3", Collector: "cdr-berlin", State: "done", File: "cdr-20261121-0925.csv", Started: now.Add(-5 * time.Minute), Ended: now.Add(-298 * time.Second), Rows: 12_031, Accepted: 12_019, Bad: 12,
			BadRows: []pages.BadRow{{File: "cdr-20261121-0925.csv", Line: 411, Reason: "column seconds: “12,x” is not a number"}, {File: "cdr-20261121-0925.csv", Line: 12_032, Reason: "line is torn: 4 of 9 columns"}}},
		{ID: "run-2", Collector: "cdr-berlin", State: "running", Started: now.Add(-9 * time.Second), Rows: 4100, Accepted: 4100},
		{ID: "run-1", Collector: "partner-feed", State: "failed", Started: now.Add(-50 * time.Hour), Ended: now.Add(-50*time.Hour + 4*time.Second), Error: "login refused: check user and key of collector partner-feed"},
	}
}

func (d *demo) Runs(_ context.Context, collector, _ string) (*pages.RunPage, error) {
	page := &pages.RunPage{}
	for _, run := range demoRuns() {
		if collector == "" || run.Collector == collector {
			page.Rows = append(page.Rows, run)
		}
	}
	return page, nil
}

func (d *demo) Event(_ context.Context, source, id string) ([]pages.EventWay, error) {
	if id != "req-90210" {
		return nil, nil
	}
	at := demoNow().Add(-time.Second)
	return []pages.EventWay{{
		Source: "gateway-7", ID: id, Account: "acme", Product: "api-calls", Quantity: dec("3"), Time: at.Add(-time.Second), Attributes: map[string]string{"region": "eu", "key": "web"},
		Steps: []pages.WayStep{
			{Name: "received", Condition: pages.ConditionOK, At: at, Facts: []pages.Fact{{Name: "By", Value: "HTTP, key “gateway”"}}},
			{Name: "recorded", Condition: pages.ConditionOK, At: at.Add(4 * time.Millisecond), Facts: []pages.Fact{{Name: "Topic", Value: "usage"}, {Name: "Partition", Value: "3"}, {Name: "Offset", Value: "120411"}, {Name: "Index", Value: "17"}}},
			{Name: "rated", Condition: pages.ConditionOK, At: at.Add(61 * time.Millisecond), Facts: []pages.Fact{{Name: "Charge", Value: "0.150000000000 EUR"}, {Name: "Rate", Value: "contract:c-1/api-calls"}, {Name: "Level", Value: "contract of acme"}}},
			{Name: "line", Condition: pages.ConditionOK, Facts: []pages.Fact{{Name: "Line", Value: lineID, Href: "/c/acme/lines/" + lineID}}},
			{Name: "report", Condition: pages.ConditionIdle},
			{Name: "invoice", Condition: pages.ConditionOK, Facts: []pages.Fact{{Name: "Invoice", Value: "November 2026, current", Href: "/c/acme"}}},
		},
	}}, nil
}

func (d *demo) Rejected(_ context.Context, f pages.RejectedFilter, cursor string) (*pages.RejectedPage, error) {
	page := &pages.RejectedPage{}
	if f.Account == "nobody" {
		return page, nil
	}
	reasons := []string{"account_unknown", "no_rate", "duplicate_conflict", "too_old"}
	for i := range 20 {
		reason := reasons[i%4]
		if f.Reason != "" && f.Reason != reason {
			continue
		}
		e := pages.RejectedEvent{Source: "gateway-7", ID: fmt.Sprintf("bad-%s%d", cursor, i), Account: "+493012345" + fmt.Sprint(i), Product: "voice", Quantity: dec("12.5"),
			Time: demoNow().Add(-time.Hour), Arrived: demoNow().Add(-time.Duration(i) * time.Minute), Reason: reason}
		if reason == "account_unknown" {
			e.Detail = "No account has the identifier " + e.Account
		}
		page.Rows = append(page.Rows, e)
	}
	if cursor == "" {
		page.Next = "2"
	}
	return page, nil
}

func (d *demo) RetryRejected(_ context.Context, f pages.RejectedFilter) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return 0, d.fail
	}
	d.retried = append(d.retried, f)
	return 31, nil
}
