package agree

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/tollstream/tollstream/rater/price/oracle"
)

// TestFigures: cases in which the comparison once found a difference, with what they cost worked out by hand. Usage of October 2026 in Berlin.
func TestFigures(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	day := func(d int) time.Time { return time.Date(2026, 10, d, 0, 0, 0, 0, zone) }
	num := func(s string) *big.Rat {
		r, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatal(s)
		}
		return r
	}
	free := oracle.Rate{Model: "per_unit", UnitPrice: num("0")}
	follow := func(rates ...oracle.Rate) []oracle.Rate { // each from a tenth of the month on
		for i := range rates {
			if i > 0 {
				rates[i].Start = day(1 + 10*i)
				rates[i-1].End = rates[i].Start
			}
		}
		return rates
	}
	type used struct {
		day      int
		quantity string
	}
	for name, c := range map[string]struct {
		rates  []oracle.Rate
		events []used // in log order
		want   string
	}{
		// 110 cross with 10: 0.29 + 0.3; 20 back are 10 that were charged and 10 of the free ones: -0.29 + 0.3; then 10 are free again
		"a free amount that is given back": {
			[]oracle.Rate{{Model: "percentage", Percent: num("2.9"), Fixed: num("0.3"), FreeAmount: num("100")}},
			[]used{{1, "110"}, {2, "-20"}, {3, "10"}}, "0.6",
		},
		// 8 × 1; nothing was used under the second, and the third begins anew all the same: 4 × 3
		"tiers begin anew where nothing was used": {
			follow(
				oracle.Rate{Model: "graduated", Tiers: []oracle.Tier{{UpTo: num("10"), UnitPrice: num("1")}, {UnitPrice: num("2")}}},
				oracle.Rate{Model: "graduated", Restart: true, Tiers: []oracle.Tier{{UpTo: num("10"), UnitPrice: num("3")}, {UnitPrice: num("4")}}},
				oracle.Rate{Model: "graduated", Tiers: []oracle.Tier{{UpTo: num("10"), UnitPrice: num("3")}, {UnitPrice: num("4")}}},
			),
			[]used{{1, "8"}, {21, "4"}}, "20",
		},
		// 7 end in the first tier; the late one makes them 8, and the event that ends at 8 is the first of its rate in the second: + 1
		"whole events, and late usage under the rate before": {
			follow(free, oracle.Rate{Model: "graduated", WholeEvent: true, Tiers: []oracle.Tier{{UpTo: num("7"), UnitPrice: num("0")}, {UnitPrice: num("0"), Flat: num("1")}}}),
			[]used{{12, "7"}, {1, "1"}, {13, "0"}}, "1",
		},
		// 9 lie in the first tier before, so that it is reached: nothing is due, though the first event ended below zero
		"whole events, and a tier that the usage before has reached": {
			follow(free, oracle.Rate{Model: "graduated", WholeEvent: true, Tiers: []oracle.Tier{{UnitPrice: num("0"), Flat: num("1")}}}),
			[]used{{12, "-13"}, {1, "9"}, {13, "7"}}, "0",
		},
		// the 12 of before count for all of the month, the 5 that are taken back for 11 of 31 days: (12 - 55/31) - 12
		"units of a rate that does not count days": {
			follow(free, oracle.Rate{Model: "graduated", ProrateDay: true, Tiers: []oracle.Tier{{UnitPrice: num("1")}}}),
			[]used{{5, "12"}, {21, "-5"}}, "-1.774193548387",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := &oracle.Case{
				Usage: oracle.Usage{Start: day(1), End: day(32), Zone: zone}, Rates: c.rates, Products: []string{"calls"}, Accounts: []string{"acme"},
			}
			for i, u := range c.events {
				k.Events = append(k.Events, oracle.Event{ID: fmt.Sprint("e", i), Account: "acme", Product: "calls", Time: day(u.day), Quantity: num(u.quantity)})
			}
			x := k.Expected()
			if len(x.Lines) != 1 || x.Lines[0].Amount.Cmp(num(c.want)) != 0 {
				t.Fatalf("the oracle says %v, want %s", x.Lines, c.want)
			}
			if why := differs(k); why != "" {
				t.Errorf("%s\n%s", why, k.String())
			}
		})
	}
}
