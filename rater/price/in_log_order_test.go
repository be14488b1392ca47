package price

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// charged rates events one by one on a line of one segment and gives the charge of each and the total.
func charged(t *testing.T, r *catalog.Rate, values string) (charges string, total money.Decimal) {
	t.Helper()
	var list []string
	var s State
	for _, v := range strings.Fields(values) {
		next, err := Aggregate(r, s, Input{Quantity: dec(v)})
		if err != nil {
			t.Fatal(err)
		}
		after, err := LineTotal([]Segment{{Rate: r, State: next}})
		if err != nil {
			t.Fatal(err)
		}
		charge, err := after.Sub(total)
		if err != nil {
			t.Fatal(err)
		}
		list, total, s = append(list, charge.String()), after, next
	}
	return strings.Join(list, " "), total
}

func TestPercentage(t *testing.T) {
	for _, c := range []struct {
		name    string
		prices  catalog.Percentage
		values  string
		charges string
		total   string
	}{
		// 2.9% of 100 is 2.9, plus 0.3; of 10: 0.29 + 0.3.
		{"rate and fixed", catalog.Percentage{Rate: dec("2.9"), Fixed: dec("0.3")}, "100 10 0", "3.2 0.59 0.3", "4.09"},
		{"a refund takes the rate back and pays the fixed price", catalog.Percentage{Rate: dec("2.9"), Fixed: dec("0.3")}, "100 -100", "3.2 -2.6", "0.6"},
		// 0.000000000001% of 50 is half of the 12th decimal and rounds up; of 100 in all it is one.
		{"rounded once", catalog.Percentage{Rate: dec("0.000000000001")}, "50 50 0.000000000001", "0.000000000001 0 0", "0.000000000001"},
		// 1% of 20 is raised to 0.5, of 100 is 1, of 900 is lowered to 3.
		{"bounds of each charge", catalog.Percentage{Rate: dec("1"), HasMin: true, Min: dec("0.5"), HasMax: true, Max: dec("3")},
			"20 100 900 50 300", "0.5 1 3 0.5 3", "8"},
		{"bounds hold with the fixed price", catalog.Percentage{Rate: dec("1"), Fixed: dec("0.4"), HasMin: true, Min: dec("0.5")},
			"5 20", "0.5 0.6", "1.1"}, // 0.05 + 0.4 is raised
		{"a minimum alone", catalog.Percentage{HasMin: true, Min: dec("0.25")}, "0 7", "0.25 0.25", "0.5"},
		{"a maximum of zero", catalog.Percentage{Rate: dec("1"), HasMax: true}, "100 -100", "0 -1", "-1"},
		{"a minimum raises a refund too", catalog.Percentage{Rate: dec("1"), HasMin: true, Min: dec("0.5")}, "-100", "0.5", "0.5"},
		// The charges are exact together: three times a third of the 12th decimal, which alone rounds to none.
		{"exact together", catalog.Percentage{Rate: dec("0.000000000001"), HasMax: true, Max: dec("9")}, "40 40 40", "0 0.000000000001 0", "0.000000000001"},
		{"free events", catalog.Percentage{Rate: dec("1"), Fixed: dec("2"), FreeEvents: 2}, "1000 5 100 0", "0 0 3 2", "5"},
		// 150 of 250 are free, 50 is charged with its fixed price; then nothing is free.
		{"a free amount", catalog.Percentage{Rate: dec("1"), Fixed: dec("2"), FreeAmount: dec("250")}, "100 200 100", "0 2.5 3", "5.5"},
		{"exactly the free amount", catalog.Percentage{Rate: dec("1"), Fixed: dec("2"), FreeAmount: dec("250")}, "250 0 1", "0 0 2.01", "2.01"},
		{"beyond the free amount even nothing pays", catalog.Percentage{Rate: dec("1"), Fixed: dec("2"), FreeAmount: dec("250")}, "251 0", "2.01 2", "4.01"},
		{"the free events end first", catalog.Percentage{Rate: dec("1"), Fixed: dec("2"), FreeEvents: 1, FreeAmount: dec("250")}, "10 100", "0 3", "3"},
		{"the free amount ends first", catalog.Percentage{Rate: dec("1"), Fixed: dec("2"), FreeEvents: 3, FreeAmount: dec("250")}, "300 10 10 10", "2.5 2.1 2.1 2.1", "8.8"},
		// Back from 300 to 240: the 50 that were charged are taken back, 10 are left free.
		{"a refund below the free amount", catalog.Percentage{Rate: dec("1"), FreeAmount: dec("250")}, "300 -60 10 5", "0.5 -0.5 0 0.05", "0.05"},
		{"free events and bounds", catalog.Percentage{Rate: dec("1"), FreeEvents: 1, HasMin: true, Min: dec("3")}, "5 5 500", "0 3 5", "8"},
	} {
		r := &catalog.Rate{ID: "r", Model: catalog.ModelPercentage, Percentage: &c.prices}
		charges, total := charged(t, r, c.values)
		if charges != c.charges || total != dec(c.total) {
			t.Errorf("%s: %s cost %s, %s in all; want %s, %s", c.name, c.values, charges, total, c.charges, c.total)
		}
	}
}

// TestMoneyValue: the amount of an event counts where it carries one, its quantity elsewhere.
func TestMoneyValue(t *testing.T) {
	percentage := &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("10")}}
	dynamic := &catalog.Rate{Model: catalog.ModelDynamic}
	for _, c := range []struct {
		name string
		rate *catalog.Rate
		in   Input
		want string
		err  error
	}{
		{"percentage of the quantity", percentage, Input{Quantity: dec("7")}, "0.7", nil},
		{"percentage of the amount", percentage, Input{Quantity: dec("7"), Money: dec("30"), HasMoney: true}, "3", nil},
		{"percentage of an amount of nothing", percentage, Input{Quantity: dec("7"), HasMoney: true}, "0", nil},
		{"dynamic", dynamic, Input{Quantity: dec("7"), Money: dec("0.402"), HasMoney: true}, "0.402", nil},
		{"dynamic, negative", dynamic, Input{Quantity: dec("7"), Money: dec("-0.402"), HasMoney: true}, "-0.402", nil},
		{"dynamic without an amount", dynamic, Input{Quantity: dec("7")}, "0", ErrNoAmount},
	} {
		s, err := Aggregate(c.rate, State{}, c.in)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got, err := Total(c.rate, s); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}

func TestWholeEvents(t *testing.T) {
	for _, c := range []struct {
		name     string
		tiers    string
		halfOpen bool
		count    bool
		events   string
		charges  string
		total    string
	}{
		// 80 + 30 ends at 110: all 30 at 0.05, and the second tier's flat price.
		{"an event across a bound", "100:0.10+1 *:0.05+2", false, false, "80 30 10", "9 3.5 0.5", "13"},
		{"on the bound", "100:0.10+1 *:0.05+2", false, false, "100 1", "11 2.05", "13.05"},
		{"on a half-open bound", "100:0.10+1 *:0.05+2", true, false, "100", "8", "8"},            // 100 × 0.05 + 1 + 2
		{"across two bounds", "100:0.10+1 200:0.05+2 *:0.01+4", false, false, "300", "10", "10"}, // 3 + 1 + 2 + 4
		// Back to 90: 30 at the price of the first tier. Up again: the second flat price is not due twice.
		{"down and up again", "100:0.10+1 *:0.05+2", false, false, "120 -30 30", "9 -3 1.5", "7.5"},
		{"below zero", "100:0.10+1 *:0.05+2", false, false, "-10 10 1", "-1 1 1.1", "1.1"},
		{"counted", "2:0.10+1 *:0.05+2", false, true, "7 7 7 7", "1.1 0.1 2.05 0.05", "3.3"},
	} {
		r := graduatedRate("r", c.tiers)
		r.WholeEvents, r.HalfOpenBounds = true, c.halfOpen
		if c.count {
			r.Aggregation = catalog.AggregationCount
		}
		charges, total := charged(t, r, c.events)
		if charges != c.charges || total != dec(c.total) {
			t.Errorf("%s: %s cost %s, %s in all; want %s, %s", c.name, c.events, charges, total, c.charges, c.total)
		}
	}
}

// TestInLogOrderAcrossRates: what was accumulated before a segment counts for what is free and where an event ends; charges
// that were made stay as they are.
func TestInLogOrderAcrossRates(t *testing.T) {
	plain := &catalog.Rate{ID: "a", Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("1")}}
	allowing := &catalog.Rate{ID: "b", Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("2"), FreeAmount: dec("250")}}
	counting := &catalog.Rate{ID: "c", Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("2"), FreeEvents: 2}}
	restarting := &catalog.Rate{ID: "d", Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("2"), FreeAmount: dec("250")}, TiersRestart: true}
	split, whole := graduatedRate("e", "100:0.10+1 *:0.05+2"), graduatedRate("f", "100:0.20+3 *:0.08+4")
	whole.WholeEvents = true
	for _, c := range []struct {
		name          string
		first, second *catalog.Rate
		events        string // quantity, with a + before those of the second rate
		want          string
		equation      string
	}{
		// 1% of 200, then 50 are free and 60 cost 2%; the late 10 cost 1%.
		{"a free amount used before", plain, allowing, "200 +110 10", "3.3", "210 × 1% + 1.2 = 3.3"},
		{"a free event used before", plain, counting, "200 +110 +50", "3", "200 × 1% + 1 = 3"},
		{"a restart has its own free amount", plain, restarting, "200 +110 +150", "2.2", "200 × 1% + 0.2 = 2.2"},
		// After charges that were made, all is priced by the sum alone: 2% of 50 made, then 1% of 100.
		{"back to a plain percentage", allowing, plain, "300 +100", "2", "1 + 100 × 1% = 2"},
		// 80 × 0.10 + 1; the 30 end at 110, in the second tier: 30 × 0.08 + 4.
		{"whole events after split ones", split, whole, "80 +30", "15.4", "80 × 0.1 + 1 + 6.4 = 15.4"},
		// 80 × 0.20 + 3; then from 80 to 110 under e: 20 × 0.10 + 10 × 0.05 + 2.
		{"split events after whole ones", whole, split, "80 +30", "23.5", "19 + 20 × 0.1 + 10 × 0.05 + 2 = 23.5"},
		// At 110 the second tier is reached under the first rate: the 5 pay no flat price.
		{"a tier reached before", split, whole, "110 +5", "13.9", "100 × 0.1 + 1 + 10 × 0.05 + 2 + 0.4 = 13.9"},
	} {
		line := []Segment{{Rate: c.first}, {Rate: c.second}}
		for _, field := range strings.Fields(c.events) {
			quantity, second := strings.CutPrefix(field, "+")
			i := 0
			if second {
				i = 1
			}
			before, err := Before(line, i)
			if err != nil {
				t.Fatal(err)
			}
			if line[i].State, err = Aggregate(line[i].Rate, line[i].State, Input{Quantity: dec(quantity), Before: &before}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := LineTotal(line); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
		if e := Explain(line); e.Equation != c.equation {
			t.Errorf("%s: explained as %s, want %s", c.name, e.Equation, c.equation)
		}
	}
}

func TestInLogOrderRefused(t *testing.T) {
	largest := dec("170141183460469231731687303.715884105727")
	percentage := &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("1"), FreeAmount: dec("5"), FreeEvents: 9}}
	whole := graduatedRate("w", "100:1e15+1e15 *:1e15+1e15")
	whole.WholeEvents = true
	counted := graduatedRate("c", "100:1+0 *:1+0")
	counted.WholeEvents, counted.Aggregation = true, catalog.AggregationCount
	var most money.Wide // 2^255 − 1 units of 10^-24 are not reached by products of two
	for range 2 {
		most.AddProduct(largest, largest)
	}
	for _, c := range []struct {
		name   string
		rate   *catalog.Rate
		from   State
		before *State
		q      string
		want   error
	}{
		{"events overflow", percentage, State{Events: 1}, &State{Events: math.MaxInt64}, "1", money.ErrOverflow},
		{"the value before overflows", percentage, State{Sum: largest, Events: 1}, &State{Sum: largest, Events: 1}, "1", money.ErrOverflow},
		{"the value overflows", percentage, State{Sum: largest, Events: 1}, nil, "1", money.ErrOverflow},
		{"the charges overflow", percentage, State{Exact: most, Events: 9}, nil, "1e26", money.ErrOverflow},
		{"no prices", &catalog.Rate{Model: catalog.ModelPercentage}, State{}, nil, "1", nil},
		{"an aggregation of money", &catalog.Rate{Model: catalog.ModelDynamic, Aggregation: catalog.AggregationMax}, State{}, nil, "1", ErrUnsupported},
		{"whole events without tiers", &catalog.Rate{Model: catalog.ModelGraduated, WholeEvents: true}, State{}, nil, "1", ErrUnsupported},
		{"the position overflows", whole, State{Sum: largest, Events: 1}, nil, "1", money.ErrOverflow},
		{"the position before overflows", whole, State{Sum: largest, Events: 1}, &State{Sum: largest, Events: 1}, "0", money.ErrOverflow},
		{"the count before is large", counted, State{Events: 1}, &State{Events: math.MaxInt64}, "1", nil},
		{"no further event", counted, State{Events: math.MaxInt64}, nil, "1", money.ErrOverflow},
	} {
		if got, err := Aggregate(c.rate, c.from, Input{Quantity: dec(c.q), Before: c.before}); !errors.Is(err, c.want) || (err != nil && got != (State{})) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if got, err := Total(&catalog.Rate{Model: catalog.ModelPercentage}, State{Events: 1}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a percentage without prices costs %s, %v", got, err)
	}
	if got, err := Total(percentage, State{Exact: most, Events: 1}); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("charges beyond all amounts come to %s, %v", got, err)
	}
}
