package price

import (
	"errors"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

var dec = money.MustParse

// parseTiers reads "100:0.10+1 *:0.05+2".
func parseTiers(text string) (tiers []catalog.Tier) {
	for _, field := range strings.Fields(text) {
		bound, price, _ := strings.Cut(field, ":")
		unit, flat, _ := strings.Cut(price, "+")
		tier := catalog.Tier{UnitPrice: dec(unit), FlatPrice: dec(flat)}
		if bound == "*" {
			tier.Last = true
		} else {
			tier.UpTo = dec(bound)
		}
		tiers = append(tiers, tier)
	}
	return tiers
}

// parseBlocks reads "100x10:1 1000x*:0.5": blocks of 100, ten of them, at 1 each, then blocks of 1000.
func parseBlocks(text string) (blocks []catalog.Block) {
	bound := money.Zero
	for _, field := range strings.Fields(text) {
		tier, price, _ := strings.Cut(field, ":")
		size, count, _ := strings.Cut(tier, "x")
		b := catalog.Block{Size: dec(size), Price: dec(price), Last: count == "*"}
		if !b.Last {
			b.Count = dec(count)
			units, _ := b.Size.Mul(b.Count)
			bound, _ = bound.Add(units)
			b.UpTo = bound
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// parseRate reads the first three fields of a line of testdata/totals.txt.
func parseRate(t *testing.T, model, policies, prices string) *catalog.Rate {
	t.Helper()
	r := &catalog.Rate{ID: "r", Model: catalog.Model(model), Aggregation: catalog.AggregationSum}
	fields := strings.Fields(prices)
	switch r.Model {
	case catalog.ModelFlat:
		r.Amount = dec(prices)
	case catalog.ModelPerUnit:
		r.UnitPrice = dec(prices)
	case catalog.ModelPackage:
		r.Size, r.Price, r.Free = dec(fields[0]), dec(fields[1]), dec(fields[2])
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		r.Blocks = parseBlocks(prices)
	case catalog.ModelPercentage:
		r.Percentage = &catalog.Percentage{Rate: dec(fields[0]), Fixed: dec(fields[1])}
	case catalog.ModelDynamic:
	default:
		r.Tiers = parseTiers(prices)
	}
	modes := map[string]money.RoundingMode{
		"round": money.RoundHalfUp, "even": money.RoundHalfEven, "ceil": money.RoundCeil, "floor": money.RoundFloor,
	}
	for _, policy := range strings.Fields(policies) {
		name, argument, _ := strings.Cut(policy, ":")
		switch name {
		case "half_open":
			r.HalfOpenBounds = true
		case "zero_flat":
			r.ChargeFlatAtZero = true
		case "count":
			r.Aggregation = catalog.AggregationCount
		case "included":
			r.Included = dec(argument)
		case "maximum":
			r.Maximum = dec(argument)
		default:
			precision, err := strconv.Atoi(argument)
			if modes[name] == money.RoundNone || err != nil {
				t.Fatalf("policy %q", policy)
			}
			r.Rounding = catalog.Rounding{Mode: modes[name], Precision: precision}
		}
	}
	return r
}

// used is the state of one event with quantity q, or of q events when the rate counts them.
func used(r *catalog.Rate, q string) State {
	if r.Aggregation == catalog.AggregationCount {
		n, _ := strconv.ParseInt(q, 10, 64)
		return State{Sum: dec(q), Events: n}
	}
	return State{Sum: dec(q), Events: 1}
}

func TestTotalsByHand(t *testing.T) {
	data, err := os.ReadFile("testdata/totals.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, ";")
		if len(f) != 6 {
			t.Fatalf("line %d has %d fields", i+1, len(f))
		}
		for j := range f {
			f[j] = strings.TrimSpace(f[j])
		}
		r := parseRate(t, f[0], f[1], f[2])
		s := used(r, f[3])
		if got, err := Total(r, s); err != nil || got != dec(f[4]) {
			t.Errorf("line %d: %s: total %s, %v", i+1, line, got, err)
		}
		if e := Explain([]Segment{{Rate: r, State: s}}); e.Err != nil || e.Amount != dec(f[4]) {
			t.Errorf("line %d: %s: explained as %s, %v", i+1, line, e.Equation, e.Err)
		} else if bad := pricetest.Claims(e.Equation, dec(f[4]).String(), 1); bad != "" {
			t.Errorf("line %d: %s: %s", i+1, line, bad)
		}
		cases++
	}
	if cases < 60 {
		t.Errorf("only %d cases", cases)
	}
}

// TestNothingWithoutEvents: a line without events does not exist, whatever its rate charges at zero.
func TestNothingWithoutEvents(t *testing.T) {
	for _, model := range benchModels {
		r := benchRate(model)
		r.ChargeFlatAtZero = true
		if got, err := Total(r, State{}); err != nil || !got.IsZero() {
			t.Errorf("%s without events: %s, %v", model, got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	huge := State{Sum: dec("170141183460469231731687303.715884105727"), Events: 1}
	with := func(change func(r *catalog.Rate)) *catalog.Rate {
		r := benchRate(catalog.ModelPerUnit)
		change(r)
		return r
	}
	for _, c := range []struct {
		name string
		rate *catalog.Rate
		want error
	}{
		{"unknown model", with(func(r *catalog.Rate) { r.Model = "auction" }), ErrUnsupported},
		{"unknown aggregation", with(func(r *catalog.Rate) { r.Aggregation = "median" }), ErrUnsupported},
		{"graduated without tiers", &catalog.Rate{Model: catalog.ModelGraduated}, ErrUnsupported},
		{"volume without tiers", &catalog.Rate{Model: catalog.ModelVolume}, ErrUnsupported},
		{"package without size", &catalog.Rate{Model: catalog.ModelPackage}, ErrUnsupported},
		{"price overflows", with(func(r *catalog.Rate) { r.UnitPrice = dec("2") }), money.ErrOverflow},
		{"rounding overflows", with(func(r *catalog.Rate) { r.Rounding = catalog.Rounding{Mode: money.RoundCeil} }), money.ErrOverflow},
		{"block_graduated without tiers", &catalog.Rate{Model: catalog.ModelBlockGraduated}, ErrUnsupported},
		{"block_volume without tiers", &catalog.Rate{Model: catalog.ModelBlockVolume}, ErrUnsupported},
		{"graduated blocks overflow", &catalog.Rate{Model: catalog.ModelBlockGraduated, Blocks: parseBlocks("1x2:1 0.1x*:1")}, money.ErrOverflow},
		{"blocks overflow", &catalog.Rate{Model: catalog.ModelBlockVolume, Blocks: parseBlocks("1x2:1 0.1x*:1")}, money.ErrOverflow},
		{"graduated_percentage without tiers", &catalog.Rate{Model: catalog.ModelGraduatedPercentage}, ErrUnsupported},
		{"percentage overflows", &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Rate: dec("101")}}, money.ErrOverflow},
		{"a percentage's fixed price overflows", &catalog.Rate{Model: catalog.ModelPercentage, Percentage: &catalog.Percentage{Fixed: dec("1e26")}}, money.ErrOverflow},
		{"parts of a value overflow", &catalog.Rate{Model: catalog.ModelGraduatedPercentage, Tiers: parseTiers("1:0+0 *:101+0")}, money.ErrOverflow},
		{"flat prices overflow", &catalog.Rate{Model: catalog.ModelGraduatedPercentage, Tiers: parseTiers("1:0+1e26 *:0+1e26")}, money.ErrOverflow},
		{"price of blocks overflows", &catalog.Rate{Model: catalog.ModelBlockGraduated, Blocks: parseBlocks("1x*:2")}, money.ErrOverflow},
		{"packages overflow", &catalog.Rate{Model: catalog.ModelPackage, Size: dec("0.1"), Price: dec("1")}, money.ErrOverflow},
	} {
		if got, err := Total(c.rate, huge); !errors.Is(err, c.want) || !got.IsZero() {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
		if _, err := LineTotal([]Segment{{Rate: c.rate, State: huge}}); !errors.Is(err, c.want) {
			t.Errorf("%s: line: %v", c.name, err)
		}
		if e := Explain([]Segment{{Rate: c.rate, State: huge}}); !errors.Is(e.Err, c.want) || e.Equation != "" {
			t.Errorf("%s: explained: %v", c.name, e)
		}
	}
	sum := benchRate(catalog.ModelPerUnit)
	for _, c := range []struct {
		name string
		rate *catalog.Rate
		from State
		q    string
		want error
	}{
		{"sum overflows", sum, huge, "1", money.ErrOverflow},
		{"count overflows", sum, State{Events: math.MaxInt64}, "1", money.ErrOverflow},
		{"negative count", with(func(r *catalog.Rate) { r.Aggregation = catalog.AggregationCount }), State{Events: 3}, "-1", ErrNegativeQuantity},
		{"unknown aggregation", with(func(r *catalog.Rate) { r.Aggregation = "median" }), State{}, "1", ErrUnsupported},
		{"event rounding overflows", with(func(r *catalog.Rate) {
			r.Rounding = catalog.Rounding{Mode: money.RoundCeil, Precision: -27, PerEvent: true}
		}), State{}, "1", money.ErrOverflow},
		{"increments overflow", with(func(r *catalog.Rate) {
			r.Rounding = catalog.Rounding{First: dec("1"), Next: dec("0.000000000001")}
		}), State{}, "1e26", money.ErrOverflow},
	} {
		if got, err := Aggregate(c.rate, c.from, Input{Quantity: dec(c.q)}); !errors.Is(err, c.want) || got != (State{}) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestEventQuantities(t *testing.T) {
	perEvent := func(mode money.RoundingMode, precision int) catalog.Rounding {
		return catalog.Rounding{Mode: mode, Precision: precision, PerEvent: true}
	}
	telecom := func(first, next string) catalog.Rounding {
		return catalog.Rounding{First: dec(first), Next: dec(next)}
	}
	both := telecom("60", "30")
	both.Mode, both.PerEvent = money.RoundCeil, true
	for _, c := range []struct {
		name     string
		rounding catalog.Rounding
		events   []string
		want     string // the sum
	}{
		{"none", catalog.Rounding{}, []string{"1.5", "2.25"}, "3.75"},
		{"on total leaves events alone", catalog.Rounding{Mode: money.RoundCeil}, []string{"1.5", "2.25"}, "3.75"},
		{"ceil each", perEvent(money.RoundCeil, 0), []string{"1.1", "2.1", "-1.1"}, "4"}, // 2 + 3 - 1
		{"floor each", perEvent(money.RoundFloor, 1), []string{"1.19", "0.09"}, "1.1"},
		{"half up each", perEvent(money.RoundHalfUp, -2), []string{"150", "149"}, "300"},
		{"60/1", telecom("60", "1"), []string{"1", "60", "60.1", "61", "61.5"}, "304"}, // 60 + 60 + 61 + 61 + 62
		{"60/60", telecom("60", "60"), []string{"1", "61", "120", "121"}, "480"},       // 60 + 120 + 120 + 180
		{"0/6", telecom("0", "6"), []string{"1", "6", "7"}, "24"},                      // 6 + 6 + 12
		{"zero is no use", telecom("60", "1"), []string{"0"}, "0"},
		{"a correction takes back what was billed", telecom("60", "1"), []string{"61.5", "-61.5", "5", "-5"}, "0"},
		{"a first step alone is no increment", telecom("60", "0"), []string{"5"}, "5"},
		{"rounded, then raised", both, []string{"60.2", "90.1"}, "210"}, // 61 → 90, 91 → 120
	} {
		r := &catalog.Rate{Model: catalog.ModelPerUnit, Aggregation: catalog.AggregationSum, Rounding: c.rounding}
		var s State
		var err error
		for _, q := range c.events {
			if s, err = Aggregate(r, s, Input{Quantity: dec(q)}); err != nil {
				t.Fatal(err)
			}
		}
		if want := (State{Sum: dec(c.want), Events: int64(len(c.events))}); s != want {
			t.Errorf("%s: %v, want %v", c.name, s, want)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	for name, r := range benchRates() {
		in := Input{Quantity: dec("1.5"), Money: dec("1.5"), HasMoney: true, Period: benchPeriod, Time: benchPeriod.Start + 5}
		if kindOf(r) != kindMoney && !r.WholeEvents {
			r.Rounding = catalog.Rounding{Mode: money.RoundCeil, PerEvent: true, First: dec("60"), Next: dec("1")}
		}
		line := []Segment{{Rate: r, State: State{Sum: dec("12345.678"), Events: 7}}, {Rate: r, State: State{Sum: dec("-99"), Events: 2}}}
		most := 0.0
		if r.Aggregation == catalog.AggregationLatest {
			most = 1 // the event's id
		}
		if n := testing.AllocsPerRun(10, func() {
			s, err := Aggregate(r, line[0].State, in)
			if err == nil {
				_, err = Total(r, s)
			}
			if err != nil {
				t.Fatal(err)
			}
			_, _ = LineTotal(line)
		}); n > most {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
