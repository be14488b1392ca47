package price

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

// anyDecimal draws from -high to high (or from 0) with up to 12 decimals, round numbers often.
func anyDecimal(high int64, signed bool) *rapid.Generator[money.Decimal] {
	return rapid.Custom(func(t *rapid.T) money.Decimal {
		whole, fraction := rapid.Int64Range(0, high).Draw(t, "whole"), ""
		if rapid.Bool().Draw(t, "decimals") {
			fraction = rapid.StringMatching(`\.[0-9]{1,12}`).Draw(t, "fraction")
		}
		d := dec(fmt.Sprint(whole) + fraction)
		if signed && rapid.IntRange(0, 3).Draw(t, "sign") == 0 {
			d = d.Neg()
		}
		return d
	})
}

func anyTiers() *rapid.Generator[[]catalog.Tier] {
	return rapid.Custom(func(t *rapid.T) []catalog.Tier {
		tiers := make([]catalog.Tier, rapid.IntRange(1, 4).Draw(t, "tiers"))
		bound := money.Zero
		for i := range tiers {
			step := anyDecimal(40, false).Filter(func(d money.Decimal) bool { return d.Sign() > 0 }).Draw(t, "step")
			bound, _ = bound.Add(step)
			tiers[i] = catalog.Tier{UnitPrice: anyDecimal(5, true).Draw(t, "unit price")}
			if rapid.Bool().Draw(t, "flat") {
				tiers[i].FlatPrice = anyDecimal(9, false).Draw(t, "flat price")
			}
			if i == len(tiers)-1 {
				tiers[i].Last = true
			} else {
				tiers[i].UpTo = bound
			}
		}
		return tiers
	})
}

func anyBlocks() *rapid.Generator[[]catalog.Block] {
	return rapid.Custom(func(t *rapid.T) []catalog.Block {
		blocks := make([]catalog.Block, rapid.IntRange(1, 4).Draw(t, "tiers"))
		bound := money.Zero
		for i := range blocks {
			b := catalog.Block{
				Size:  anyDecimal(9, false).Filter(func(d money.Decimal) bool { return d.Cmp(dec("0.001")) > 0 }).Draw(t, "block"),
				Price: anyDecimal(5, true).Draw(t, "block price"), Last: i == len(blocks)-1,
			}
			if !b.Last {
				b.Count = money.FromInt(rapid.Int64Range(1, 9).Draw(t, "blocks"))
				units, _ := b.Size.Mul(b.Count)
				bound, _ = bound.Add(units)
				b.UpTo = bound
			}
			blocks[i] = b
		}
		return blocks
	})
}

func anyRounding() *rapid.Generator[catalog.Rounding] {
	return rapid.Custom(func(t *rapid.T) (r catalog.Rounding) {
		switch rapid.IntRange(0, 3).Draw(t, "rounding") {
		case 0, 1:
			r.Mode = money.RoundingMode(rapid.IntRange(0, 4).Draw(t, "mode"))
			r.Precision = rapid.IntRange(-2, 13).Draw(t, "precision")
			r.PerEvent = rapid.Bool().Draw(t, "per event")
		case 2:
			r.First = anyDecimal(60, false).Draw(t, "first")
			r.Next = rapid.SampledFrom([]money.Decimal{dec("1"), dec("6"), dec("0.1"), dec("60")}).Draw(t, "next")
		}
		return r
	})
}

func anyRate(id string) *rapid.Generator[*catalog.Rate] {
	return rapid.Custom(func(t *rapid.T) *catalog.Rate {
		r := &catalog.Rate{
			ID: id, Model: rapid.SampledFrom(benchModels).Draw(t, "model"),
			Aggregation: rapid.SampledFrom([]catalog.Aggregation{"sum", "sum", "sum", "count", "", "max", "latest", "time_weighted"}).Draw(t, "aggregation"),
			Amount:      anyDecimal(50, true).Draw(t, "amount"), UnitPrice: anyDecimal(5, true).Draw(t, "unit price"),
			Size:             anyDecimal(20, false).Filter(func(d money.Decimal) bool { return d.Cmp(dec("0.001")) > 0 }).Draw(t, "size"),
			Price:            anyDecimal(9, true).Draw(t, "price"),
			Free:             anyDecimal(30, false).Draw(t, "free"),
			Tiers:            anyTiers().Draw(t, "tiers"),
			Blocks:           anyBlocks().Draw(t, "blocks"),
			Rounding:         anyRounding().Draw(t, "rounding"),
			HalfOpenBounds:   rapid.Bool().Draw(t, "half open"),
			ChargeFlatAtZero: rapid.Bool().Draw(t, "zero flat"),
			TiersRestart:     rapid.IntRange(0, 4).Draw(t, "restart") == 0,
		}
		switch r.Model {
		case catalog.ModelPercentage, catalog.ModelGraduatedPercentage, catalog.ModelDynamic:
			r.Aggregation, r.Rounding, r.Percentage = catalog.AggregationSum, catalog.Rounding{}, anyPercentage().Draw(t, "percentage")
		case catalog.ModelVolume:
			if r.Aggregation == catalog.AggregationSum {
				r.ProrateByDay = rapid.Bool().Draw(t, "by day")
			}
		case catalog.ModelGraduated:
			if r.Aggregation == catalog.AggregationSum && rapid.IntRange(0, 2).Draw(t, "by day") == 0 {
				r.ProrateByDay = true
				break
			}
			if kindOf(r) == kindQuantity && rapid.IntRange(0, 2).Draw(t, "whole events") == 0 {
				r.WholeEvents, r.ChargeFlatAtZero, r.Rounding = true, false, catalog.Rounding{}
			}
		}
		if r.Model != catalog.ModelPercentage && r.Model != catalog.ModelDynamic && !r.WholeEvents && rapid.IntRange(0, 2).Draw(t, "included") == 0 {
			r.Included = anyDecimal(30, false).Draw(t, "included units")
		}
		if rapid.IntRange(0, 2).Draw(t, "maximum") == 0 {
			r.Maximum = anyDecimal(90, false).Draw(t, "maximum amount")
		}
		return r
	})
}

func anyPercentage() *rapid.Generator[*catalog.Percentage] {
	return rapid.Custom(func(t *rapid.T) *catalog.Percentage {
		p := &catalog.Percentage{Rate: anyDecimal(9, true).Draw(t, "rate"), Fixed: anyDecimal(2, true).Draw(t, "fixed")}
		if rapid.Bool().Draw(t, "in log order") {
			if rapid.Bool().Draw(t, "free events") {
				p.FreeEvents = rapid.Int64Range(0, 6).Draw(t, "free events")
			}
			if rapid.Bool().Draw(t, "free amount") {
				p.FreeAmount = anyDecimal(150, false).Draw(t, "free amount")
			}
			if p.HasMin = rapid.Bool().Draw(t, "min"); p.HasMin {
				p.Min = anyDecimal(3, true).Draw(t, "min")
			}
			if p.HasMax = rapid.Bool().Draw(t, "max"); p.HasMax {
				p.Max, _ = p.Min.Add(anyDecimal(5, false).Draw(t, "max"))
			}
		}
		return p
	})
}

// anyQuantity draws bounds of the rate's tiers as often as other quantities, because that is where
// policies differ. Counted events take nothing back.
func anyQuantity(r *catalog.Rate) *rapid.Generator[money.Decimal] {
	other := anyDecimal(120, aggregationOf(r).takesNegative)
	return rapid.Custom(func(t *rapid.T) money.Decimal {
		tier := r.Tiers[rapid.IntRange(0, len(r.Tiers)-1).Draw(t, "tier")]
		if !tier.Last && rapid.Bool().Draw(t, "at bound") {
			return tier.UpTo
		}
		block := r.Blocks[rapid.IntRange(0, len(r.Blocks)-1).Draw(t, "block tier")]
		if !block.Last && rapid.IntRange(0, 2).Draw(t, "at the blocks' bound") == 0 {
			return block.UpTo
		}
		return other.Draw(t, "quantity")
	})
}

func anyEvent(r *catalog.Rate) *rapid.Generator[oracleEvent] {
	return rapid.Custom(func(t *rapid.T) oracleEvent {
		e := oracleEvent{
			quantity: anyQuantity(r).Draw(t, "quantity"), id: rapid.StringMatching(`[a-c]{0,2}`).Draw(t, "id"),
			time: rapid.OneOf(rapid.Int64Range(oraclePeriod.Start, oraclePeriod.End-1), rapid.SampledFrom([]int64{oraclePeriod.Start, oraclePeriod.End - 1})).Draw(t, "time"),
		}
		if e.hasMoney = r.Model == catalog.ModelDynamic || rapid.Bool().Draw(t, "has an amount"); e.hasMoney {
			e.money = anyDecimal(90, true).Draw(t, "amount")
		}
		e.billed = oracleBilled(r, rat(e.quantity))
		return e
	})
}

func (e *oracleEvent) input() Input {
	return Input{Quantity: e.quantity, Money: e.money, HasMoney: e.hasMoney, ID: e.id, Time: e.time, Period: oraclePeriod, Zone: oracleZone}
}

// history is a line's rates and its events in order of arrival, each with its segment.
type history struct {
	rates    []*catalog.Rate
	segments []int
	events   []oracleEvent
}

func anyHistory() *rapid.Generator[history] {
	return rapid.Custom(func(t *rapid.T) (h history) {
		for k := range rapid.IntRange(1, 3).Draw(t, "rates") {
			h.rates = append(h.rates, anyRate(fmt.Sprintf("r%d", k)).Draw(t, "rate"))
		}
		for range rapid.IntRange(0, 12).Draw(t, "events") {
			k := rapid.IntRange(0, len(h.rates)-1).Draw(t, "segment")
			e := anyEvent(h.rates[k]).Draw(t, "event")
			if oracleInLogOrder(h.rates[k]) {
				earlier, own := h.before(k)
				oracleCharge(h.rates[k], earlier, own, &e)
			}
			h.segments = append(h.segments, k)
			h.events = append(h.events, e)
		}
		return h
	})
}

// before gives the events so far that an event in segment k is charged after, of the same kind: those of the segments
// before it, from a restart on, and those of its own.
func (h history) before(k int) (earlier, own []oracleEvent) {
	from := k
	for from > 0 && !h.rates[from].TiersRestart {
		from--
	}
	for i, e := range h.events {
		switch s := h.segments[i]; {
		case s == k:
			own = append(own, e)
		case s >= from && s < k && oracleKind(h.rates[s]) == oracleKind(h.rates[k]):
			earlier = append(earlier, e)
		}
	}
	return earlier, own
}

// inLogOrder says whether a charge depends on the order of arrival.
func (h history) inLogOrder() bool { return slices.ContainsFunc(h.rates, oracleInLogOrder) }

// empty gives the line's segments without events.
func (h history) empty() []Segment {
	line := make([]Segment, len(h.rates))
	for k, r := range h.rates {
		line[k].Rate = r
	}
	return line
}

// oracle gives the same line with its events.
func (h history) oracle() []oracleSegment {
	line := make([]oracleSegment, len(h.rates))
	for k, r := range h.rates {
		line[k].rate = r
	}
	for i, k := range h.segments {
		line[k].events = append(line[k].events, h.events[i])
	}
	return line
}

// rate folds the events with the given numbers into the line.
func (h history) rate(t *rapid.T, line []Segment, numbers ...int) {
	t.Helper()
	for _, i := range numbers {
		s := &line[h.segments[i]]
		in := h.events[i].input()
		if InLogOrder(s.Rate) {
			before, err := Before(line, h.segments[i])
			if err != nil {
				t.Fatalf("before event %d: %v", i, err)
			}
			in.Before = &before
		}
		var err error
		if s.State, err = Aggregate(s.Rate, s.State, in); err != nil {
			t.Fatalf("aggregate event %d: %v", i, err)
		}
	}
}

// same says whether two states are equal in all that they hold.
func same(a, b State) bool {
	rests := reflect.DeepEqual(a.Rest, b.Rest)
	a.Rest, b.Rest = nil, nil
	return rests && a == b
}

func lineTotal(t *rapid.T, line []Segment) money.Decimal {
	t.Helper()
	total, err := LineTotal(line)
	if err != nil {
		t.Fatal(err)
	}
	return total
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// TestOracle is pricing.md §8, 5: every total and every line agrees with the oracle.
func TestOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		line := h.empty()
		h.rate(t, line, numbers(len(h.events))...)
		slow := h.oracle()
		for k, s := range line {
			got, err := Total(s.Rate, s.State)
			if want := oracleTotal(s.Rate, slow[k:k+1]); err != nil || rat(got).Cmp(want) != 0 {
				t.Fatalf("total of segment %d: %s, %v; want %s", k, got, err, want.FloatString(12))
			}
		}
		if got, want := lineTotal(t, line), oracleLine(slow); rat(got).Cmp(want) != 0 {
			t.Fatalf("line %s, want %s", got, want.FloatString(12))
		}
	})
}

// TestOracleAtTheLimits: quantities and prices up to 10^15 give the exact total or an overflow.
func TestOracleAtTheLimits(t *testing.T) {
	largest := rat(dec("170141183460469231731687303.715884105727"))
	const limit = 1_000_000_000_000_000
	rapid.Check(t, func(t *rapid.T) {
		r := anyRate("r").Draw(t, "rate")
		r.Aggregation, r.Rounding, r.WholeEvents, r.ProrateByDay = catalog.AggregationSum, catalog.Rounding{}, false, false
		r.Percentage = &catalog.Percentage{Rate: anyDecimal(limit-1, true).Draw(t, "rate"), Fixed: anyDecimal(limit-1, true).Draw(t, "fixed")}
		r.Included, r.Maximum = money.Zero, money.Zero // an overflow is not capped
		r.UnitPrice, r.Price = anyDecimal(limit-1, true).Draw(t, "unit price"), anyDecimal(limit-1, true).Draw(t, "price")
		for i := range r.Tiers {
			r.Tiers[i].UnitPrice = anyDecimal(limit-1, true).Draw(t, "tier price")
		}
		for i := range r.Blocks {
			r.Blocks[i].Price = anyDecimal(limit-1, true).Draw(t, "block price")
		}
		q := anyDecimal(limit-1, true).Draw(t, "quantity")
		got, err := Total(r, State{Sum: q, Events: 1})
		want := oracleTotal(r, []oracleSegment{{r, []oracleEvent{{quantity: q}}}})
		if new(big.Rat).Abs(want).Cmp(largest) > 0 {
			if err != money.ErrOverflow {
				t.Fatalf("total %s, %v; want overflow", got, err)
			}
		} else if err != nil || rat(got).Cmp(want) != 0 {
			t.Fatalf("total %s, %v; want %s", got, err, want.FloatString(12))
		}
	})
}

// TestChargesSumToTheLine is §8, 1: after each event, what was charged so far is the line's amount.
func TestChargesSumToTheLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		line, charged := h.empty(), money.Zero
		for i := range h.events {
			before := lineTotal(t, line)
			h.rate(t, line, i)
			charge, err := lineTotal(t, line).Sub(before)
			if err != nil {
				t.Fatal(err)
			}
			if charged, err = charged.Add(charge); err != nil {
				t.Fatal(err)
			}
		}
		if want := oracleLine(h.oracle()); rat(charged).Cmp(want) != 0 {
			t.Fatalf("charged %s, the line is %s", charged, want.FloatString(12))
		}
	})
}

// TestOrderDoesNotMatter is §8, 2.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		inOrder, shuffled := h.empty(), h.empty()
		h.rate(t, inOrder, numbers(len(h.events))...)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		h.rate(t, shuffled, random.Perm(len(h.events))...)
		for k := range inOrder {
			if !InLogOrder(inOrder[k].Rate) && !same(inOrder[k].State, shuffled[k].State) {
				t.Fatalf("segment %d: %v in order, %v shuffled", k, inOrder[k].State, shuffled[k].State)
			}
		}
		if a, b := lineTotal(t, inOrder), lineTotal(t, shuffled); a != b && !h.inLogOrder() {
			t.Fatalf("%s in order, %s shuffled", a, b)
		}
	})
}

// TestBatchesDoNotMatter is §8, 3: states of any split into batches merge, in any grouping, to the
// state of all events one by one.
func TestBatchesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		oneByOne := h.empty()
		h.rate(t, oneByOne, numbers(len(h.events))...)
		batches := [3][]Segment{h.empty(), h.empty(), h.empty()}
		for i := range h.events {
			h.rate(t, batches[rapid.IntRange(0, 2).Draw(t, "batch")], i)
		}
		merge := func(a, b State) State {
			s, err := Merge(a, b)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		for k := range oneByOne {
			a, b, c := batches[0][k].State, batches[1][k].State, batches[2][k].State
			left, right := merge(merge(a, b), c), merge(a, merge(c, b))
			if !same(right, left) || merge(left, State{}) != left || merge(State{}, left) != left {
				t.Fatalf("segment %d: %v and %v merged", k, left, right)
			}
			if !same(left, oneByOne[k].State) && !InLogOrder(oneByOne[k].Rate) {
				t.Fatalf("segment %d: %v one by one, %v and %v merged", k, oneByOne[k].State, left, right)
			}
		}
	})
}

// TestExplanationsAddUp: the steps of a segment sum to its amount, the segments to the line, and
// whoever works the equation out gets the amount: exactly after =, to the 12th decimal after ≈.
func TestExplanationsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		line := h.empty()
		h.rate(t, line, numbers(len(h.events))...)
		e := Explain(line)
		if e.Err != nil || e.Amount != lineTotal(t, line) || len(e.Segments) != len(line) {
			t.Fatalf("%+v", e)
		}
		sum := ratInt(0)
		for _, s := range e.Segments {
			steps := ratInt(0)
			for _, step := range s.Steps {
				steps.Add(steps, rat(step.Amount))
			}
			if steps.Cmp(rat(s.Amount)) != 0 {
				t.Fatalf("steps of %s sum to %s: %+v", s.RateID, steps.FloatString(12), s)
			}
			sum.Add(sum, rat(s.Amount))
		}
		if sum.Cmp(rat(e.Amount)) != 0 {
			t.Fatalf("segments sum to %s of %s", sum.FloatString(12), e.Amount)
		}
		if bad := pricetest.Claims(e.Equation, e.Amount.String(), int64(len(line))); bad != "" {
			t.Fatal(bad)
		}
		for _, s := range e.Segments {
			if bad := pricetest.Claims(s.Equation, s.Amount.String(), 1); bad != "" {
				t.Fatalf("segment %s: %s", s.RateID, bad)
			}
			tiers := ratInt(0)
			for _, use := range s.Tiers {
				tiers.Add(tiers, rat(use.Amount))
			}
			if off := tiers.Sub(tiers, rat(s.Amount)); s.Tiers != nil && off.Abs(off).Cmp(new(big.Rat).SetFrac64(int64(len(s.Steps)), 1e12)) > 0 {
				t.Fatalf("tiers of %s are off by %s: %+v", s.RateID, off.FloatString(12), s.Tiers)
			}
		}
	})
}

// TestChargesAreExplained: the equation of each event's charge, and that of a line that is priced under other rates, work out to it, in
// full and short; their steps sum to it.
func TestChargesAreExplained(t *testing.T) {
	check := func(t *rapid.T, before, after []Segment) {
		t.Helper()
		c := ExplainCharge(before, after)
		charge := ratMinus(rat(lineTotal(t, after)), rat(lineTotal(t, before)))
		if c.Err != nil || rat(c.Amount).Cmp(charge) != 0 || ratMinus(rat(c.After), rat(c.Before)).Cmp(charge) != 0 {
			t.Fatalf("%+v, want %s", c, charge.FloatString(12))
		}
		roundings := int64(2*len(after) + 2*len(before))
		for _, equation := range []string{c.Equation, c.Short} {
			if bad := pricetest.Claims(equation, c.Amount.String(), roundings); bad != "" {
				t.Fatal(bad)
			}
		}
		steps := ratInt(0)
		for _, step := range c.Steps {
			steps.Add(steps, rat(step.Amount))
		}
		if steps.Cmp(charge) != 0 {
			t.Fatalf("steps sum to %s: %+v", steps.FloatString(12), c)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		h := anyHistory().Draw(t, "history")
		line := h.empty()
		for i := range h.events {
			before := slices.Clone(line)
			h.rate(t, line, i)
			check(t, before, line)
		}
		dearer := slices.Clone(line)
		for i := range dearer {
			r := *dearer[i].Rate
			r.UnitPrice, r.Amount, r.Tiers = dec("7.77"), dec("3"), slices.Clone(r.Tiers)
			for j := range r.Tiers {
				r.Tiers[j].UnitPrice = dec("0.013")
			}
			dearer[i].Rate = &r
		}
		check(t, line, dearer)
	})
}
