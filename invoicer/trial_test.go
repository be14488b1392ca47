package invoicer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

func eventOf(account, product, quantity string, at time.Time) usage.Event {
	return usage.Event{ID: "e", Source: "s", Subject: account, Product: product, Quantity: money.MustParse(quantity), Time: at.UnixNano()}
}

// draftAlone is a document as the draft of an empty catalogue, or what is wrong with it.
func draftAlone(document string) (*catalog.Draft, error) {
	doc, err := catalog.ParseDocument("draft.yaml", []byte(document))
	if err != nil {
		return nil, err
	}
	changes, err := doc.Revise(catalog.Stored{}, now.UnixNano())
	if err != nil {
		return nil, err
	}
	return catalog.NewDraft(changes, 0), nil
}

// TestTrialOfRandomCatalogues prices the usage of random documents, each method, aggregation and rounding among them, without any store:
// each charge is the oracle's, and each equation works out to what it claims.
func TestTrialOfRandomCatalogues(t *testing.T) {
	desk := invoicer.Nowhere(func() time.Time { return now })
	models := map[string]int{}
	charges := 0
	for seed := range uint64(600) {
		c := priceoracle.Generate(seed, priceoracle.Options{Without: notQuoted})
		draft, err := draftAlone(c.DocumentJSON())
		if issues := new(catalog.Issues); errors.As(err, &issues) {
			continue // what the oracle prices and the catalogue refuses
		} else if err != nil {
			t.Fatal(err)
		}
		trial := must(desk.Trial(t.Context(), invoicer.Conditions{Draft: draft, State: seed%2 == 0}))
		want := c.ExpectCharges()
		rejected := map[string]string{}
		for _, r := range want.Rejected {
			rejected[r.ID] = r.Reason
		}
		sum := money.Zero
		for i, e := range oracleEvents(&c) {
			q, err := trial.Rate(t.Context(), e)
			if reason, is := rejected[e.ID]; is || err != nil {
				if !is || !errors.Is(err, invoicer.ErrNoPrice) || !strings.Contains(err.Error(), reason) {
					t.Fatalf("seed %d: event %s: %v, want %q\n%s", seed, e.ID, err, reason, c.String())
				}
				continue
			}
			if want.Beyond != "" {
				continue
			}
			if got, charge := q.Charge.Decimal.String(), priceoracle.Decimal(want.Charges[i]); got != charge {
				t.Fatalf("seed %d: event %s costs %s, by the oracle %s: %+v\n%s", seed, e.ID, got, charge, q, c.String())
			}
			if bad := worksOut(q); bad != "" {
				t.Fatalf("seed %d: event %s: %s\n%s", seed, e.ID, bad, c.String())
			}
			models[q.Explanation.Rate.Model]++
			if q.Explanation.Shared != "" {
				models["shared"]++
			}
			sum = must(sum.Add(q.Charge.Decimal))
			charges++
		}
		total := money.Zero
		for _, s := range trial.Sums() {
			total = must(total.Add(s.Charge.Decimal))
		}
		if want.Beyond == "" && total != sum {
			t.Fatalf("seed %d: the sums come to %s, the charges to %s", seed, total, sum)
		}
	}
	t.Logf("%d charges: %v", charges, models)
	for _, model := range []string{"flat", "per_unit", "graduated", "volume", "package", "block_graduated", "block_volume", "percentage", "graduated_percentage", "dynamic", "capacity", "shared"} {
		if models[model] == 0 {
			t.Errorf("no charge of %s", model)
		}
	}
	if charges < 1500 {
		t.Error("these are too few to tell anything")
	}
}

// notQuoted is what needs more than the lines and pools, notExplained what has tests of its own: shared tiers, and levels that go on. The equation
// of a formula does not say that each of its products is rounded.
var (
	notQuoted    = []string{"unique", "level_absolute", "carried", "formula"}
	notExplained = []string{"pool", "capacity", "carried", "formula"}
)

// worksOut says which equation of a quote does not give what it claims.
func worksOut(q *invoicer.Quote) string {
	x := q.Explanation
	if x.Charge == nil {
		return "the charge is not explained"
	}
	for equation, amount := range map[string]money.Decimal{x.Charge.Equation: q.Charge.Decimal, x.Charge.Short: q.Charge.Decimal, x.Line.Equation: x.Line.Amount} {
		if bad := pricetest.Claims(equation, amount.String(), 40); bad != "" {
			return bad
		}
	}
	for _, s := range x.Line.Segments {
		if bad := pricetest.Claims(s.Equation, s.Amount.String(), 2); bad != "" {
			return bad
		}
	}
	if x.Shared == "" && x.Line.Amount != x.After.Decimal { // of shared tiers the arithmetic is of all who share
		return fmt.Sprintf("the line is explained as %s of %s", x.Line.Amount, x.After)
	}
	return ""
}

func oracleEvents(c *priceoracle.Case) []usage.Event {
	var events []usage.Event
	for _, e := range c.Events {
		x := usage.Event{
			ID: e.ID, Source: "oracle", Subject: e.Account, Product: e.Product, Package: e.Package, Time: e.Time.UnixNano(),
			Quantity: money.MustParse(priceoracle.Decimal(e.Quantity)),
		}
		if e.Amount != nil {
			x.HasAmount, x.Amount, x.Currency = true, money.MustParse(priceoracle.Decimal(e.Amount)), "USD"
		}
		for name, value := range e.Attributes {
			x.Attributes = append(x.Attributes, usage.Attribute{Name: name, Value: value})
		}
		slices.SortFunc(x.Attributes, func(a, b usage.Attribute) int { return strings.Compare(a.Name, b.Name) })
		events = append(events, x)
	}
	return events
}

func TestTrialAddsUp(t *testing.T) {
	w := filled(t)
	d := w.Desk(nil)
	dearer := must(w.Draft(`{products: [{id: api-calls, name: API calls, unit: request, identifiers: [api.requests], group_by: [region],
		rates: [{model: graduated, tiers: [{up_to: 160, unit_price: 0.20}, {unit_price: 0.01}]}]}], accounts: [{id: fresh, currency: USD, identifiers: ["+1"]}]}`))
	type step struct{ account, product, quantity, charge string }
	for _, tc := range []struct {
		name       string
		conditions invoicer.Conditions
		steps      []step
	}{
		{"on the line as it stands: 150 used", invoicer.Conditions{State: true}, []step{{"acme", "api-calls", "10", "0.5"}, {"acme", "api-calls", "10", "0.5"}, {"lab", "sms", "1", "0.01"}}},
		{"from nothing", invoicer.Conditions{}, []step{{"acme", "api-calls", "95", "9.5"}, {"acme", "api-calls", "10", "0.75"}, {"+4930123", "api.requests", "1", "0.05"}}},
		{"under a draft, 150 used: 10 at 0.20, 10 at 0.01", invoicer.Conditions{State: true, Draft: dearer}, []step{{"acme", "api-calls", "20", "2.1"}, {"fresh", "api-calls", "1", "0.2"}, {"+1", "sms", "1", "0.02"}}},
		{"under a draft, from nothing", invoicer.Conditions{Draft: dearer}, []step{{"acme", "api-calls", "170", "32.1"}, {"lab", "sms", "1", "0.01"}}},
	} {
		trial := must(d.Trial(t.Context(), tc.conditions))
		for i, s := range tc.steps {
			e := eventOf(s.account, s.product, s.quantity, now)
			e.Attributes = []usage.Attribute{{Name: "region", Value: "eu"}}
			q, err := trial.Rate(t.Context(), e)
			if err != nil || q.Charge.Decimal.String() != s.charge {
				t.Errorf("%s: step %d: %+v, %v", tc.name, i, q, err)
			} else if bad := worksOut(q); bad != "" {
				t.Errorf("%s: step %d: %s", tc.name, i, bad)
			}
		}
	}
	trial := must(d.Trial(t.Context(), invoicer.Conditions{State: true}))
	for _, quantity := range []string{"1", "2", "3"} {
		must(trial.Rate(t.Context(), eventOf("lab", "sms", quantity, now)))
	}
	must(trial.Rate(t.Context(), eventOf("acme", "sms", "10", now)))
	if got := fmt.Sprint(trial.Sums()); got != "[{acme sms USD 1 10 0.100000000000} {lab sms USD 3 6 0.060000000000}]" {
		t.Errorf("sums %s", got)
	}
	if got := ask(t, d, "acme", "").Total.String(); got != "18.570000000000" {
		t.Errorf("a trial moved the invoice to %s", got)
	}
}

func TestTrialSaysWhatToDo(t *testing.T) {
	w := invoicertest.New(t, now, book+`
packages: [{id: k}]
`)
	w.Apply(`products: [{id: only, provisioned_only: true, rates: [{model: flat, amount: 1}]}, {id: calls, rates: [{model: per_unit, unit_price: 1, aggregation: max}]},
		{id: euro, rates: [{model: flat, amount: 1, currency: EUR}]}, {id: passed, rates: [{model: dynamic}]},
		{id: pounds, rates: [{model: flat, amount: 1, currency: GBP, start: 2026-11-10}]},
		{id: cells, rates: [{model: matrix, dimensions: [region], prices: [{match: {region: eu}, model: flat, amount: 1}]}]}]
exchange_rates: [{base: EUR, date: 2026-11-05, rates: {USD: 1.1}}]`)
	trial := must(w.Desk(nil).Trial(t.Context(), invoicer.Conditions{State: true}))
	for _, tc := range []struct {
		account, product, quantity string
		want                       error
		words                      string
	}{
		{"nobody", "sms", "1", invoicer.ErrAccountUnknown, `"nobody"`},
		{"acme", "nothing", "1", invoicer.ErrProductUnknown, `"nothing"`},
		{"acme", "only", "1", invoicer.ErrNoPrice, "not_provisioned"},
		{"acme", "only", "1", invoicer.ErrNoPrice, "provision it on the account"},
		{"acme", "euro", "1", invoicer.ErrNoPrice, "no exchange rate from EUR to USD is known on 2026-11-01 or before: add one to exchange_rates"},
		{"acme", "pounds", "1", invoicer.ErrNoPrice, "no exchange rate from GBP to USD is known on 2026-11-10 or before"}, // when the price begins
		{"acme", "cells", "1", invoicer.ErrNoPrice, "give the product, its package or a contract a rate"},
		{"acme", "calls", "-1", invoicer.ErrNoPrice, "send a quantity of 0 or more"},
		{"acme", "passed", "1", invoicer.ErrNoPrice, "send amount and currency"},
	} {
		q, err := trial.Rate(t.Context(), eventOf(tc.account, tc.product, tc.quantity, now))
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%+v: %+v, %v", tc, q, err)
		}
	}
	e := eventOf("acme", "passed", "1", now)
	e.HasAmount, e.Amount, e.Currency = true, money.One, "GBP"
	if _, err := trial.Rate(t.Context(), e); !errors.Is(err, invoicer.ErrNoPrice) ||
		!strings.Contains(err.Error(), "no exchange rate from GBP, in which the event's amount is, to USD, in which its rate is, is known on 2026-11-21 or before") {
		t.Errorf("an amount in pounds: %v", err)
	}
	if sums := trial.Sums(); len(sums) != 0 {
		t.Errorf("what has no price counts: %+v", sums)
	}
}

// TestTrialAtADate prices under the definitions as they stood, and as of now where the date is still to come.
func TestTrialAtADate(t *testing.T) {
	w := invoicertest.New(t, now, book)
	w.SetNow(now.Add(time.Hour))
	w.Apply(`contracts: [{id: c-1, account: acme, start: 2026-01-01, rates: [{product: sms, model: per_unit, unit_price: 0.07}]}]`)
	d := w.Desk(nil)
	for _, tc := range []struct {
		at     time.Time
		charge string
		seq    int64
	}{{now, "0.01", 1}, {now.Add(59 * time.Minute), "0.01", 1}, {now.Add(time.Hour), "0.07", 2}, {now.Add(1000 * time.Hour), "0.07", 2}, {time.Time{}, "0.07", 2}} {
		trial := must(d.Trial(t.Context(), invoicer.Conditions{At: tc.at, State: true}))
		q := must(trial.Rate(t.Context(), eventOf("free", "sms", "1", now)))
		if seq, drafted := trial.Seq(); q.Charge.Decimal.String() != tc.charge || seq != tc.seq || drafted {
			t.Errorf("at %s: %+v under %d", tc.at, q, seq)
		}
	}
	trial := must(d.Trial(t.Context(), invoicer.Conditions{At: now.Add(-time.Minute)}))
	if _, err := trial.Rate(t.Context(), eventOf("free", "sms", "1", now)); !errors.Is(err, invoicer.ErrAccountUnknown) {
		t.Errorf("before there were any definitions: %v", err)
	}
}

// TestTrialPricesWhatIsGone: a line whose rate the draft takes away keeps what it cost, and the event is priced by what answers then.
func TestTrialPricesWhatIsGone(t *testing.T) {
	w := filled(t)
	d := w.Desk(nil)
	draft := must(w.Draft(`delete: [{kind: contract, id: c-1}]`))
	trial := must(d.Trial(t.Context(), invoicer.Conditions{Draft: draft, State: true}))
	q := must(trial.Rate(t.Context(), eventOf("lab", "sms", "1", now)))
	if q.Charge.Decimal.String() != "0.02" || q.Explanation.Before.Decimal.String() != "3" || q.Explanation.Rate.Level != "product_default" {
		t.Errorf("%+v", q)
	}
	if bad := worksOut(q); bad != "" {
		t.Error(bad)
	}
}
