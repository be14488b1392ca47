// Package storetest holds the one suite of questions that every report store must answer alike, with figures
// worked out by hand. It is imported by tests only.
package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Store is everything that a report store does.
type Store interface {
	sink.Store
	sink.Reports
	sink.Proof
	sink.History
	sink.Adjustments
}

// The months of the fixture.
const (
	october  int32 = 2026*12 + 9
	november int32 = 2026*12 + 10
	december int32 = 2026*12 + 11
)

func id(n byte) activity.ID {
	// Bytes that text would not survive: zeros, a quote, a backslash, one that is no UTF-8.
	return activity.ID{n, 0, '\'', '\\', 0xff, 15: n}
}

var (
	invoiceAcme, invoiceBeta, invoiceGamma                = id(1), id(2), id(3)
	lineCalls, lineVoice, lineStorage, lineSub, lineGamma = id(11), id(12), id(13), id(14), id(15)
)

func at(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

type use struct {
	partition               int32
	offset                  int64
	index                   int
	kind                    activity.Kind
	event, time             string
	account, billed         string
	product, pkg, currency  string
	quantity, charge, after string
	invoice, line           activity.ID
	attributes              []activity.Attribute
}

// fixture is what the questions are asked about. Berlin is at +01:00 in winter and at +02:00 until
// 2026-10-25 01:00 UTC.
var fixture = []use{
	{0, 10, 0, 1, "e-1", "2026-11-01T00:30:00.000000001Z", "acme", "acme", "api-calls", "", "USD", "3", "0.3", "0.3", invoiceAcme, lineCalls, []activity.Attribute{{Name: "region", Value: "eu"}}},
	{0, 10, 1, 1, "e-2", "2026-10-31T23:30:00Z", "acme", "acme", "api-calls", "", "USD", "2", "0.2", "0.5", invoiceAcme, lineCalls, []activity.Attribute{{Name: "region", Value: "it's \\ a ? $1 test"}, {Name: "tier", Value: ""}}},
	{0, 12, 0, 1, "e-3", "2026-11-21T10:00:00Z", "acme", "acme", "voice", "", "USD", "1.5", "-0.45", "-0.45", invoiceAcme, lineVoice, nil},
	{0, 13, 0, 2, "", "2026-10-31T23:00:00Z", "acme", "acme", "api-calls", "", "USD", "0", "-0.1", "0.4", invoiceAcme, lineCalls, nil},
	{1, 5, 0, 1, "e-4", "2026-11-02T00:00:00Z", "beta", "beta", "storage", "", "EUR", "1000000000000000", "999999999999999.123456789012", "999999999999999.123456789012", invoiceBeta, lineStorage, nil},
	{1, 7, 0, 1, "e-5", "2026-11-03T00:00:00Z", "beta", "beta", "storage", "", "EUR", "-1000000000000000", "-999999999999999.123456789011", "0.000000000001", invoiceBeta, lineStorage, nil},
	{1, 7, 1, 1, "e-6", "2026-11-30T23:30:00Z", "acme-sub", "acme", "api-calls", "starter", "USD", "7", "0.56", "0.56", invoiceAcme, lineSub, []activity.Attribute{{Name: "region", Value: "eu"}}},
	{1, 9, 0, 1, "e-7", "2026-10-24T22:30:00Z", "gamma", "gamma", "voice", "", "EUR", "10", "1", "1", invoiceGamma, lineGamma, nil},
	{1, 9, 1, 1, "e-8", "2026-10-25T22:30:00Z", "gamma", "gamma", "voice", "", "EUR", "20", "2", "3", invoiceGamma, lineGamma, nil},
	{1, 9, 2, 1, "e-9", "2026-10-25T23:30:00Z", "gamma", "gamma", "voice", "", "EUR", "40", "4", "7", invoiceGamma, lineGamma, nil},
}

// Rows returns the fixture in log order.
func Rows() []sink.Row {
	rows := make([]sink.Row, len(fixture))
	for i, u := range fixture {
		rows[i] = u.row()
	}
	return rows
}

func (u use) row() sink.Row {
	a := activity.Activity{
		Kind: u.kind, Index: u.index, EventID: u.event, Source: "gateway-7", EventTime: at(u.time), Attributes: u.attributes,
		Quantity: money.MustParse(u.quantity), Charge: money.MustParse(u.charge), LineAmount: money.MustParse(u.after),
		Terms: &activity.Terms{
			Seller: "main", Product: u.product, Package: u.pkg, Currency: u.currency,
			Level: "contract", RateAccount: u.billed, RateID: "contract:c-1/" + u.product, RateSeq: 41, RateModel: "graduated", ActivatedSeq: 42,
			PeriodStart: at("2026-10-31T23:00:00Z"), PeriodEnd: at("2026-11-30T23:00:00Z"),
			UsageStart: at("2026-10-31T23:00:00Z"), UsageEnd: at("2026-11-30T23:00:00Z"),
		},
		Target: &activity.Target{Account: u.account, Billed: u.billed, Invoice: u.invoice, Line: u.line},
	}
	switch u.event {
	case "e-5":
		a.Extra = &activity.Extra{EventPackage: "it's \\ a ? $1", Amount: money.MustParse("-1000000000000000"), HasAmount: true, AmountCurrency: "JPY",
			AmountExchange: activity.Exchange{Rate: money.MustParse("0.005518763797"), Date: -1}, Corrects: activity.EventName{Source: "it's ? \\ $1", ID: "e-4"}, CorrectsBelow: 1 << 53}
		a.RateCurrency, a.RateExchange = "USD", activity.Exchange{Rate: money.MustParse("0.862663906142"), Date: 20777}
	case "e-6":
		a.Extra = &activity.Extra{EventPackage: "starter"}
	case "e-7":
		a.Extra = &activity.Extra{HasAmount: true, AmountCurrency: "EUR"}
	}
	if u.kind == activity.KindUsage && len(u.attributes) > 0 {
		a.Group = u.attributes[:1]
	} else if u.kind == activity.KindAdjustment {
		a.Source = ""
	}
	return sink.Row{Partition: u.partition, Offset: u.offset, LogTime: at("2026-12-01T08:00:00Z") + u.offset, Activity: a}
}

// Blocks gathers rows by month, as the sink does.
func Blocks(rows []sink.Row) []sink.Block {
	var blocks []sink.Block
	for _, r := range rows {
		month := sink.MonthOf(r.Activity.EventTime)
		i := slices.IndexFunc(blocks, func(b sink.Block) bool { return b.Month == month })
		if i < 0 {
			i = len(blocks)
			blocks = append(blocks, sink.Block{Month: month})
		}
		blocks[i].Rows = append(blocks[i].Rows, r)
	}
	return blocks
}

func fill(t *testing.T, s Store, rows []sink.Row) {
	t.Helper()
	for _, b := range Blocks(rows) {
		if err := s.Insert(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}
