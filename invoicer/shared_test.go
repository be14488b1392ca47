package invoicer_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

const family = `
accounts: [{id: acme, time_zone: UTC}, {id: lab, parent: acme, bill_to: parent, time_zone: UTC}, {id: shop, parent: acme, bill_to: parent, time_zone: UTC}]
`

// used sends an event of its own id.
func used(r *invoicertest.Rated, account, product, quantity, at string) *invoicer.Charged {
	r.World.T.Helper()
	e := eventOf(account, product, quantity, must(time.Parse(time.RFC3339, at)))
	e.ID = fmt.Sprint("e", len(r.History))
	if rejected := r.Use(e); len(rejected) > 0 {
		r.World.T.Fatal(rejected)
	}
	return &r.History[len(r.History)-1]
}

func sharedText(x *invoicer.ChargeDetail) string {
	if x.Shared == nil {
		return ""
	}
	text := func(s *invoicer.Standing) string {
		return fmt.Sprintf("%s in %q for %s", s.Used, s.Tier, s.Amount.Decimal)
	}
	return x.Shared.Pool + ": " + text(&x.Shared.Before) + ", then " + text(&x.Shared.After)
}

// TestSharedCharges: 100 of all at 0.1, what is above at 0.05. lab has 80, shop 40: 20 of these at 0.1. Then the first hundred cost 0.2.
func TestSharedCharges(t *testing.T) {
	product := func(first string) string {
		return "products: [{id: calls, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 100, unit_price: " + first + "}, {unit_price: 0.05}]}]}]"
	}
	w := invoicertest.New(t, now, "currency: USD\n"+product("0.1")+family)
	r := invoicertest.NewRated(w)
	d := w.Desk(nil)
	d.History = &r.Log
	want := func(c *invoicer.Charged, equation, short, shared, line string) {
		t.Helper()
		x := explained(t, d, c)
		if x.Arithmetic == nil {
			t.Fatalf("%s is not explained: %s", c.Place, x.Note)
		}
		if x.Equation != equation || x.Arithmetic.Short != short || sharedText(x) != shared || x.Before.Decimal.String()+" "+x.After.Decimal.String() != line {
			t.Errorf("%s: %q, %q, %q, %s %s", c.Place, x.Equation, x.Arithmetic.Short, sharedText(x), x.Before, x.After)
		}
		if x.Shared.Words != "tiers are shared by all usage of calls that account acme pays for" || x.Note != "" || x.Total.Amount != x.Shared.After.Amount.Decimal {
			t.Errorf("%s: %+v, %q", c.Place, x.Shared, x.Note)
		}
	}
	lab, shop := *used(r, "lab", "calls", "80", "2026-11-02T00:00:00Z"), *used(r, "shop", "calls", "40", "2026-11-03T00:00:00Z")
	last := *used(r, "lab", "calls", "-30", "2026-11-04T00:00:00Z")
	first := `invoice: 0 in "" for 0, then 80 in "tier 1: up to 100" for 8`
	second := `invoice: 80 in "tier 1: up to 100" for 8, then 120 in "tier 2: above 100" for 11`
	check := func() {
		t.Helper()
		want(&lab, "80 × 0.1 - 0 = 8", "80 × 0.1 = 8", first, "0 8")
		want(&shop, "(100 × 0.1 + 20 × 0.05) - 80 × 0.1 = 3", "20 × 0.1 + 20 × 0.05 = 3", second, "0 3")
		want(&last, "90 × 0.1 - (100 × 0.1 + 20 × 0.05) = -2", "(-10) × 0.1 - 20 × 0.05 = -2", // 8 less 2
			`invoice: 120 in "tier 2: above 100" for 11, then 90 in "tier 1: up to 100" for 9`, "8 6")
	}
	check()

	// All of the difference, 90 × 0.1, stands on the line whose usage came to the pool first.
	w.Apply(product("0.2"))
	more := *used(r, "acme", "calls", "15", "2026-11-05T00:00:00Z")
	dearer := r.History[len(r.History)-2]
	want(&dearer, "90 × 0.2 - 90 × 0.1 = 9", "90 × 0.2 - 90 × 0.1 = 9",
		`invoice: 90 in "tier 1: up to 100" for 9, then 90 in "tier 1: up to 100" for 18`, "0 9")
	if x := explained(t, d, &dearer); fmt.Sprintf("%+v", *x.Cause) != "{Seq:2 Before:1 Event: Invoice: Changes:[{Rate:product:calls Seq:2 Member:tiers[0].unit_price Before:0.1 After:0.2}]}" {
		t.Errorf("cause %+v", x.Cause)
	}
	want(&more, "(100 × 0.2 + 5 × 0.05) - 90 × 0.2 = 2.25", "10 × 0.2 + 5 × 0.05 = 2.25",
		`invoice: 90 in "tier 1: up to 100" for 18, then 105 in "tier 2: above 100" for 20.25`, "9 11.25")
	w.Apply(product("0.3"))
	r.Sweep()
	swept := r.History[len(r.History)-1]
	want(&swept, "(100 × 0.3 + 5 × 0.05) - (100 × 0.2 + 5 × 0.05) = 10", "100 × 0.3 - 100 × 0.2 = 10",
		`invoice: 105 in "tier 2: above 100" for 20.25, then 105 in "tier 2: above 100" for 30.25`, "6 16")
	want(used(r, "shop", "calls", "1", "2026-11-06T00:00:00Z"), "(100 × 0.3 + 6 × 0.05) - (100 × 0.3 + 5 × 0.05) = 0.05", "1 × 0.05 = 0.05",
		`invoice: 105 in "tier 2: above 100" for 30.25, then 106 in "tier 2: above 100" for 30.3`, "3 3.05")
	check() // what was charged before goes on being explained by what was then

	// An event is missing in the report store: nothing is claimed of the pool.
	r.History = append(r.History[:1:1], r.History[2:]...)
	if x := explained(t, d, &last); x.Arithmetic != nil || x.Shared != nil || !strings.Contains(x.Note, "another amount") {
		t.Errorf("without the usage of shop: %+v", x)
	}
	// … nor where that does not change the charge: the 10 calls of acme and 30 of lab are in one tier.
	x := explained(t, d, &more)
	if x.Arithmetic != nil {
		t.Errorf("without the usage of shop: %+v", x)
	}
}

// TestSharedLateCharge: shop's call comes when November is closed, on December's invoice, and goes on in November's tiers.
func TestSharedLateCharge(t *testing.T) {
	w := invoicertest.New(t, now, "currency: USD\nproducts: [{id: calls, rates: [{model: volume, pool: account, tiers: [{up_to: 10, unit_price: 1}, {unit_price: 0.5}]}], group_by: [region]}]"+family)
	r := invoicertest.NewRated(w)
	d := w.Desk(nil)
	d.History = &r.Log
	at := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	for i, region := range []string{"eu", "us", "eu"} {
		e := eventOf("shop", "calls", "4", at)
		e.ID, e.Attributes = fmt.Sprint(i), []usage.Attribute{{Name: "region", Value: region}}
		if i == 2 {
			r.Seal("acme", time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixNano(), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixNano())
		}
		if rejected := r.Use(e); rejected != nil {
			t.Fatal(rejected)
		}
	}
	x := explained(t, d, &r.History[len(r.History)-1])
	if x.UsagePeriod == nil || x.Equation != "12 × 0.5 - 8 × 1 = -2" || sharedText(x) != `account: 8 in "tier 1: up to 10" for 8, then 12 in "tier 2: above 10" for 6` ||
		x.Shared.Words != "tiers are shared by all usage of calls of account shop" {
		t.Errorf("%+v, %q, %q", x, sharedText(x), x.Note)
	}
}

// TestSharedCapacity: 3 seats and 5 gigabytes fit into the first tier, 6 gigabytes do not.
func TestSharedCapacity(t *testing.T) {
	rate := "{id: plan, model: capacity, pool: account, tiers: [{price: 10, limits: {seats: 3, gb: 5}}, {price: 25, limits: {seats: 9}}, {price: 40}]}"
	w := invoicertest.New(t, now, "currency: USD\nproducts: [{id: seats, rates: ["+rate+"]}, {id: gb, rates: ["+rate+"]}]"+family)
	r := invoicertest.NewRated(w)
	d := w.Desk(nil)
	d.History = &r.Log
	used(r, "lab", "gb", "100", "2026-11-01T00:00:00Z") // of another account
	used(r, "shop", "seats", "3", "2026-11-02T00:00:00Z")
	used(r, "shop", "gb", "5", "2026-11-03T00:00:00Z")
	x := explained(t, d, used(r, "shop", "gb", "1", "2026-11-04T00:00:00Z"))
	if x.Equation != "25 - 10 = 15" || sharedText(x) != `account: 5 in "tier 1" for 10, then 6 in "tier 2" for 25` || x.Total.Segments[0].Note != "used together: 6 of gb, 3 of seats" {
		t.Errorf("%q, %q, %+v, %q", x.Equation, sharedText(x), x.Total, x.Note)
	}
	if x.Shared.Words != "tiers are shared by all usage of all products of the capacity of account shop" {
		t.Errorf("%q", x.Shared.Words)
	}
}

// TestSharedChargesOfRandomCatalogues explains every activity of random usage whose tiers are shared, as a rater rated it: over accounts, packages and
// groups, late usage, and with all prices changed on the way, by the next usage or by a sweep. What the pools come to is the oracle's.
func TestSharedChargesOfRandomCatalogues(t *testing.T) {
	var charges, late, adjustments int
	pools := map[string]int{}
	for seed := range uint64(6000) {
		c := priceoracle.Generate(seed, priceoracle.Options{Without: []string{"carried", "formula"}})
		pool := c.Rates[0].Pool
		if pool == "" || pool == "line" || len(c.Events) < 2 || c.Rates[0].Model == "capacity" && seed%4 > 0 {
			continue
		}
		if _, err := draftAlone(c.DocumentJSON()); err != nil {
			continue
		}
		w := invoicertest.New(t, now, c.DocumentJSON())
		r := invoicertest.NewRated(w)
		d := w.Desk(nil)
		d.History = &r.Log
		events := oracleEvents(&c)
		change, seal := -1, -1
		switch seed % 3 {
		case 0:
			change = len(events) / 2
		case 1:
			seal = len(events) / 2
		}
		for i, e := range events {
			switch i {
			case change:
				w.Apply(dearer(&c).DocumentJSON())
				if seed%2 == 0 {
					r.Sweep()
				}
			case seal:
				r.Seal(c.Accounts[0], c.Usage.Start.UnixNano(), c.Usage.End.UnixNano())
			}
			r.Use(e)
		}
		expected := c.Expected()
		for i := range r.History {
			a := &r.History[i]
			x := explained(t, d, a)
			charges++
			if x.Arithmetic == nil {
				t.Fatalf("seed %d: %s (%s) is not explained: %s\n%s", seed, a.Place, x.Kind, x.Note, c.String())
			}
			if a.Kind == activity.KindAdjustment {
				adjustments++
			}
			if a.PeriodStart != a.UsageStart {
				late++
			}
			if x.Shared == nil {
				if pool != "package" || a.Package != "" {
					t.Fatalf("seed %d: %s says nothing of its pool\n%s", seed, a.Place, c.String())
				}
				continue
			}
			pools[pool+" "+string(c.Rates[0].Model)]++
			if must(x.Shared.After.Amount.Sub(x.Shared.Before.Amount.Decimal)) != a.Activity.Charge || x.Shared.After.Amount.Decimal != x.Total.Amount {
				t.Fatalf("seed %d: %s: %+v\n%s", seed, a.Place, x.Shared, c.String())
			}
		}
		if change >= 0 || expected.Beyond != "" {
			continue
		}
		var all, oracles = money.Zero, new(big.Rat)
		for i := range r.History {
			all = must(all.Add(r.History[i].Activity.Charge))
		}
		for _, l := range expected.Lines {
			oracles.Add(oracles, l.Amount)
		}
		if all.String() != priceoracle.Decimal(oracles) {
			t.Fatalf("seed %d: %s, by the oracle %s\n%s", seed, all, priceoracle.Decimal(oracles), c.String())
		}
	}
	t.Logf("%d activities, %d late, %d adjustments: %v", charges, late, adjustments, pools)
	if charges < 1000 || late < 150 || adjustments < 60 || len(pools) < 18 {
		t.Error("these are too few to tell anything")
	}
}

// dearer is the case with other prices.
func dearer(c *priceoracle.Case) *priceoracle.Case {
	other := priceoracle.Generate(c.Seed, priceoracle.Options{Without: []string{"carried", "formula"}})
	for i := range other.Rates {
		for j := range other.Rates[i].Tiers {
			t := &other.Rates[i].Tiers[j]
			for _, price := range []*big.Rat{t.UnitPrice, t.Price, t.Percent} {
				double(price)
			}
		}
		double(other.Rates[i].Price)
	}
	return &other
}

func double(price *big.Rat) {
	if price != nil && price.Cmp(big.NewRat(1_000_000, 1)) < 0 {
		price.Add(price, price)
	}
}
