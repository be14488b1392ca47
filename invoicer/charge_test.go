package invoicer_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

// explained asks for an activity and checks what it claims: the amounts are those that were recorded, and each equation works out.
func explained(t *testing.T, d *invoicer.Desk, c *invoicer.Charged) *invoicer.ChargeDetail {
	t.Helper()
	x, err := d.Charge(t.Context(), c.Place.String(), "")
	if err != nil {
		t.Fatal(err)
	}
	equations := map[string]string{x.Equation: c.Activity.Charge.String()}
	if x.Arithmetic != nil {
		equations[x.Arithmetic.Short] = c.Activity.Charge.String()
		equations[x.Total.Equation] = x.Total.Amount.String()
		for _, s := range x.Total.Segments {
			equations[s.Equation] = s.Amount.String()
		}
	}
	for equation, amount := range equations {
		if bad := pricetest.Claims(equation, amount, 40); bad != "" {
			t.Errorf("activity %s: %s", c.Place, bad)
		}
	}
	if x.Charge.Decimal != c.Activity.Charge || x.After.Decimal != c.LineAmount || must(x.After.Sub(x.Before.Decimal)) != c.Activity.Charge {
		t.Errorf("activity %s: %+v", c.Place, x)
	}
	return x
}

// TestChargesOfRandomCatalogues explains every activity of random usage, late usage among it, and every adjustment after all prices changed.
func TestChargesOfRandomCatalogues(t *testing.T) {
	var charges, late, adjustments, plain int
	for seed := range uint64(500) {
		c := priceoracle.Generate(seed, priceoracle.Options{Without: notExplained})
		if _, err := draftAlone(c.DocumentJSON()); err != nil {
			continue // what the oracle prices and the catalogue refuses
		}
		random := rand.New(rand.NewPCG(seed, 3))
		w := invoicertest.New(t, now, c.DocumentJSON())
		log := invoicertest.NewLog(w)
		d := w.Desk(nil)
		d.History = log
		for i, e := range oracleEvents(&c) {
			e.Account = e.Subject
			if i == len(c.Events)/2 && seed%3 == 0 { // another price list of the same methods
				other := priceoracle.Generate(seed, priceoracle.Options{Without: notExplained})
				for j := range other.Rates {
					for k := range other.Rates[j].Tiers {
						if price := other.Rates[j].Tiers[k].UnitPrice; price != nil && price.Cmp(big.NewRat(1_000_000, 1)) < 0 {
							price.Add(price, price)
						}
					}
				}
				w.Apply(other.DocumentJSON())
			}
			on := rater.Invoiced{}
			if i > len(c.Events)/2 && random.IntN(3) == 0 {
				on = invoiceAfter(d, t, e)
			}
			log.Add(e, on)
		}
		for i := range log.History {
			a := &log.History[i]
			x := explained(t, d, a)
			switch {
			case x.Arithmetic == nil && strings.Contains(x.Note, "continues lines of closed invoices"):
				plain++
			case x.Arithmetic == nil:
				t.Errorf("seed %d: activity %s (%s) is not explained: %s\n%s", seed, a.Place, x.Kind, x.Note, c.String())
			case a.Kind == activity.KindAdjustment:
				adjustments++
				if x.Cause.Seq != 2 || x.Cause.Before != 1 {
					t.Errorf("seed %d: adjustment %s is due to %+v", seed, a.Place, x.Cause)
				}
			case a.PeriodStart != a.UsageStart:
				late++
			}
			if charges++; a.Kind == activity.KindUsage && (x.Rate == nil || x.Rate.ID != a.RateID && x.Rate.Cell == "" || len(x.Asked) == 0 || !x.Asked[len(x.Asked)-1].Answered) {
				t.Errorf("seed %d: activity %s: rate %+v, asked %+v", seed, a.Place, x.Rate, x.Asked)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
	t.Logf("%d activities, %d late, %d adjustments; %d of lines that continue others", charges, late, adjustments, plain)
	if charges < 1500 || late < 150 || adjustments < 20 || plain > 20 {
		t.Error("these are too few to tell anything")
	}
}

// invoiceAfter is the invoice of the period after the event's.
func invoiceAfter(d *invoicer.Desk, t *testing.T, e usage.Event) rater.Invoiced {
	t.Helper()
	target := must(d.Find(t.Context(), invoicer.Question{Account: e.Account, Period: time.Unix(0, e.Time).UTC().Format(time.RFC3339)}))
	next := must(d.Find(t.Context(), invoicer.Question{Account: e.Account, Period: time.Unix(0, target.Ref.Period.End).UTC().Format(time.RFC3339)}))
	return rater.Invoiced{Billed: next.Billed.ID, Period: next.Ref.Period}
}

func TestChargeInWords(t *testing.T) {
	w := invoicertest.New(t, now, book)
	log := invoicertest.NewLog(w)
	d := w.Desk(nil)
	d.History = log
	use := func(account, product, quantity string) *invoicer.Charged {
		t.Helper()
		e := eventOf(account, product, quantity, now)
		e.Account, e.ID, e.Attributes = account, fmt.Sprint("e", len(log.History)), []usage.Attribute{{Name: "region", Value: "eu"}}
		c, reason := log.Add(e, rater.Invoiced{})
		if reason != "" {
			t.Fatal(reason)
		}
		return c
	}
	use("acme", "api-calls", "95")
	over := explained(t, d, use("acme", "api-calls", "10"))
	if over.Equation != "(100 × 0.1 + 5 × 0.05) - 95 × 0.1 = 0.75" || over.Arithmetic.Short != "5 × 0.1 + 5 × 0.05 = 0.75" || over.Earlier != 1 ||
		over.Before.Decimal.String() != "9.5" || over.After.Decimal.String() != "10.25" || over.Time.Location().String() != "Europe/Berlin" ||
		over.ProductName != "API calls" || over.Unit != "request" || over.Attributes["region"] != "eu" || over.Note != "" {
		t.Errorf("%+v", over)
	}
	if got := over.Total.Segments[0].Tiers; len(got) != 2 || got[0].Units.String() != "100" || got[1].Units.String() != "5" {
		t.Errorf("tiers %+v", got)
	}
	asked := explained(t, d, use("lab", "sms", "3")).Asked
	if len(asked) == 0 || asked[len(asked)-1].Level != "contract" || asked[len(asked)-1].Account != "acme" || asked[0].Why == "" {
		t.Errorf("asked %+v", asked)
	}
	w.Apply(`products: [{id: api-calls, name: API calls, unit: request, identifiers: [api.requests], group_by: [region],
		rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.20}, {unit_price: 0.05}]}]}]`)
	next := use("acme", "api-calls", "1")
	at := log.History[len(log.History)-2]
	if at.Kind != activity.KindAdjustment {
		t.Fatalf("%+v", at)
	}
	adjusted := explained(t, d, &at)
	if adjusted.Kind != "adjustment" || adjusted.Equation != "(100 × 0.2 + 5 × 0.05) - (100 × 0.1 + 5 × 0.05) = 10" || adjusted.Arithmetic.Short != "100 × 0.2 - 100 × 0.1 = 10" {
		t.Errorf("%+v", adjusted)
	}
	if got := fmt.Sprintf("%+v", *adjusted.Cause); got != "{Seq:2 Before:1 Event: Invoice: Changes:[{Rate:product:api-calls Seq:2 Member:tiers[0].unit_price Before:0.1 After:0.2}]}" {
		t.Errorf("cause %s", got)
	}
	if x := explained(t, d, next); x.Equation != "(100 × 0.2 + 6 × 0.05) - (100 × 0.2 + 5 × 0.05) = 0.05" || x.Seq != 2 {
		t.Errorf("%+v", x)
	}
	// An activity before the change goes on being explained by what was then.
	if x := explained(t, d, &log.History[1]); x.Equation != over.Equation || x.Rate.Tiers[0].UnitPrice.String() != "0.1" {
		t.Errorf("%+v", x)
	}
}

func TestChargesThatCannotBeWorkedOut(t *testing.T) {
	w := invoicertest.New(t, now, book)
	log := invoicertest.NewLog(w)
	d := w.Desk(nil)
	d.History = log
	e := eventOf("acme", "sms", "5", now)
	e.Account = "acme"
	first, _ := log.Add(e, rater.Invoiced{})
	second := *first
	second.Offset, second.LineAmount = 9, money.MustParse("7")
	second.Activity.Charge = money.MustParse("-1.5")
	log.History = append(log.History, second)
	x := explained(t, d, &second)
	if x.Arithmetic != nil || x.Equation != "7 - 8.5 = -1.5" || !strings.Contains(x.Note, "another amount than was recorded") {
		t.Errorf("a charge that the usage does not give: %+v", x)
	}
	d.History = nil
	if _, err := d.Charge(t.Context(), "0-0-0", ""); !errors.Is(err, invoicer.ErrChargeUnknown) {
		t.Errorf("without a report store: %v", err)
	}
	d.History = log
	for _, id := range []string{"", "1", "0-0", "0-0-0-0", "-1-0-0", "0--1-0", "a-b-c", "00-0-0", "99999999999-0-0", "0-0-7"} {
		if _, err := d.Charge(t.Context(), id, ""); !errors.Is(err, invoicer.ErrChargeUnknown) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if _, err := d.Charge(t.Context(), "0-0-0", "lab"); !errors.Is(err, invoicer.ErrChargeUnknown) {
		t.Errorf("of another account: %v", err)
	}
}

// TestLongHistoriesAreNotAddedUp: the amounts stay, and the reason is told.
func TestLongHistoriesAreNotAddedUp(t *testing.T) {
	w := invoicertest.New(t, now, book)
	log := invoicertest.NewLog(w)
	e := eventOf("acme", "sms", "5", now)
	e.Account = "acme"
	last, _ := log.Add(e, rater.Invoiced{})
	d := w.Desk(nil)
	d.History = endless{log}
	if x := explained(t, d, last); x.Arithmetic != nil || !strings.Contains(x.Note, "100000 earlier activities") || x.Equation != "0.05 - 0 = 0.05" {
		t.Errorf("%+v", x)
	}
}

// endless has an earlier page whenever it is asked.
type endless struct{ *invoicertest.Log }

func (l endless) Charges(_ context.Context, q invoicer.HistoryQuery) ([]invoicer.Charged, error) {
	page := make([]invoicer.Charged, q.Limit)
	for i := range page {
		page[i] = l.History[0]
		page[i].Offset = -1
	}
	return page, nil
}
