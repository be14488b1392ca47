package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// pricedBook is a catalogue in which a resolution is asked at all seven levels: the account has the product, a package, a contract
// and a class, its parent has terms too, the package has a default, and the rate that answers is the product's.
const pricedBook = `
currency: EUR
products:
  - {id: p, rates: [{model: per_unit, unit_price: 7}]}
  - {id: other, rates: [{model: per_unit, unit_price: 8}]}
rate_classes:
  - {id: gold, rates: [{product: p, model: per_unit, unit_price: 4, end: 2026-02-01}]}
packages:
  - {id: k, products: [{product: p, rates: [{model: per_unit, unit_price: 6, end: 2026-02-01}]}]}
accounts:
  - {id: holding, packages: [{package: k, start: 2026-01-01, rates: [{product: p, model: per_unit, unit_price: 5, end: 2026-02-01}]}]}
  - id: child
    parent: holding
    products: [{product: p, start: 2026-01-01, rates: [{model: per_unit, unit_price: 1, end: 2026-02-01}]}]
    packages: [{package: k, start: 2026-01-01, rates: [{product: p, model: per_unit, unit_price: 2, end: 2026-02-01}]}]
contracts:
  - {id: c, account: child, start: 2026-01-01, end: 2027-01-01, rate_class: gold, rates: [{product: p, model: per_unit, unit_price: 3, end: 2026-02-01}]}
`

var pricedAt = time.Date(2026, time.July, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// bookPlan makes the plan of an account of a document, without a store.
func bookPlan(text, account string) (*catalog.Plan, error) {
	document, err := catalog.ParseDocument("bench.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	changes, err := document.Revise(catalog.Stored{
		Rows: map[catalog.Ref]catalog.Row{}, Holders: map[string][]catalog.Holder{},
		RateOwners: map[string][]catalog.Ref{}, Users: map[catalog.Ref][]catalog.Ref{},
	}, time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	if err != nil {
		return nil, err
	}
	var rows, contracts []catalog.Row
	accounts := map[string]catalog.Row{}
	for _, c := range changes {
		row := catalog.Row{Ref: c.Ref, Seq: 1, Body: c.Body}
		switch c.Kind {
		case catalog.KindAccount:
			accounts[c.ID] = row
		case catalog.KindContract:
			contracts = append(contracts, row)
		default:
			rows = append(rows, row)
		}
	}
	snapshot, err := catalog.NewSnapshot(rows)
	if err != nil {
		return nil, err
	}
	var chain []*catalog.Account
	for id := account; id != ""; {
		a, err := catalog.DecodeAccount(accounts[id], contracts)
		if err != nil {
			return nil, err
		}
		chain, id, contracts = append(chain, a), a.Parent, nil
	}
	return catalog.NewPlan(snapshot, chain)
}

// pricedModels are the rating methods, each with three tiers where it has tiers.
var pricedModels = []catalog.Model{
	catalog.ModelFlat, catalog.ModelPerUnit, catalog.ModelGraduated, catalog.ModelVolume, catalog.ModelPackage,
}

func pricedRate(model catalog.Model) *catalog.Rate {
	d := money.MustParse
	return &catalog.Rate{
		ID: "bench", Model: model, Aggregation: catalog.AggregationSum,
		Amount: d("12.5"), UnitPrice: d("0.037"), Size: d("100"), Price: d("2.95"), Free: d("50"),
		Tiers: []catalog.Tier{
			{UpTo: d("100"), UnitPrice: d("0.10"), FlatPrice: d("1")},
			{UpTo: d("1000"), UnitPrice: d("0.05"), FlatPrice: d("2")},
			{Last: true, UnitPrice: d("0.025"), FlatPrice: d("3")},
		},
	}
}

// measurePrice times what one event costs where it is priced: adding it to the segment and the line's total anew; of a matrix the selection of
// the price before that; and a resolution that was made before.
func measurePrice(_ context.Context, _ *corner, s settings, out *report) error {
	for _, model := range pricedModels {
		if err := pricedStep(pricedRate(model), nil, out, s, "price one event, "+string(model), "≤ 100"); err != nil {
			return err
		}
	}
	for _, c := range pricedBooks {
		plan, err := bookPlan("currency: EUR\nproducts: [{id: p, rates: ["+c.rate()+"]}]\naccounts: [{id: a, time_zone: Europe/Berlin}]\n", "a")
		if err != nil {
			return err
		}
		answer, refusal := plan.Resolve(plan.Snapshot().Product("p"), "", pricedAt)
		if refusal != "" {
			return fmt.Errorf("%s: refused: %s", c.name, refusal)
		}
		if err := pricedStep(answer.Rate, c.values, out, s, "price one event, "+c.name, c.goal); err != nil {
			return err
		}
	}
	plan, err := bookPlan(pricedBook, "child")
	if err != nil {
		return err
	}
	product := plan.Snapshot().Product("p")
	if n := len(plan.Explain(product, "", pricedAt)); n < 7 {
		return fmt.Errorf("the resolution asks %d levels, fewer than seven", n)
	}
	return out.steps(s, "resolve through 7 levels, cached", "≤ 150", func() error {
		if _, refusal := plan.Resolve(product, "", pricedAt); refusal != "" {
			return fmt.Errorf("refused: %s", refusal)
		}
		return nil
	})
}

// pricedBooks are rates that are more easily written than built, with the values of the attributes that their matrices ask about, in turns.
var pricedBooks = []struct {
	name, goal string
	rate       func() string
	values     []string
}{
	{"matrix, 10,000 prefixes", "≤ 200", func() string {
		var b strings.Builder
		b.WriteString("{model: matrix, dimensions: [{name: dialled, by: prefix}], prices: [")
		for n := range pricedPrefixes {
			fmt.Fprintf(&b, "{match: {dialled: %q}, model: per_unit, unit_price: 0.0%d},\n", dialled(n), 1+n%9)
		}
		b.WriteString("], default: {model: per_unit, unit_price: 0.5}}")
		return b.String()
	}, func() (list []string) {
		for n := range 1000 {
			list = append(list, dialled(n*7%pricedPrefixes)+"5551234")
		}
		return list
	}()},
	{"matrix, numeric ranges", "≤ 200", constantRate(`{model: matrix, dimensions: [{name: size, by: range}], prices: [{match: {size: {to: "10"}}, model: per_unit, unit_price: 1},
  {match: {size: {from: "10", to: "99.5"}}, model: per_unit, unit_price: 2}, {match: {size: {from: "99.5"}}, model: per_unit, unit_price: 3}]}`), []string{"3", "42.75", "1000"}},
	{"matrix, time of day and weekday", "≤ 200", constantRate(`{model: matrix, dimensions: [{name: hours, by: time_of_day}, {name: day, by: weekday}],
  prices: [{match: {hours: {from: "22:00", to: "06:00"}}, model: per_unit, unit_price: 1}, {match: {day: [sat, sun]}, model: per_unit, unit_price: 2}],
  default: {model: per_unit, unit_price: 3}}`), []string{""}},
	{"matrix, exact values", "≤ 200", constantRate(`{model: matrix, dimensions: [region, class], prices: [{match: {region: [eu, uk], class: gold}, model: per_unit, unit_price: 1},
  {match: {region: us}, model: per_unit, unit_price: 2}], default: {model: per_unit, unit_price: 3}}`), []string{"eu", "us", "asia"}},
	{"formula", "", constantRate(`{model: formula, expression: "quantity * 0.037 + 1"}`), nil},
	{"formula with a choice", "", constantRate(`{model: formula, expression: "quantity > 1000 ? 1000 * 0.05 + (quantity - 1000) * 0.02 : quantity * 0.05"}`), nil},
	{"latest", "≤ 100", constantRate(`{model: per_unit, unit_price: 1, aggregation: latest}`), nil},
	{"average level", "≤ 100", constantRate(`{model: per_unit, unit_price: 1, aggregation: time_weighted}`), nil},
	{"percentage, clamped", "≤ 100", constantRate(`{model: percentage, rate: 2.9, fixed: 0.3, min: 0.5, max: 20}`), nil},
	{"block_graduated", "≤ 100", constantRate(`{model: block_graduated, tiers: [{block_size: 10, max_blocks: 10, price: 1}, {block_size: 100, max_blocks: 9, price: 7}, {block_size: 500, price: 25}]}`), nil},
}

const pricedPrefixes = 10_000

// dialled is a prefix of up to six digits; some are the beginning of others.
func dialled(n int) string { return strconv.Itoa(10 + n*97) }

func constantRate(text string) func() string { return func() string { return text } }

// pricedStep times one event under the rate, as the rater prices it.
func pricedStep(rate *catalog.Rate, values []string, out *report, s settings, name, goal string) error {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return err
	}
	segments := make([]price.Segment, 1) // as a line has them
	before := price.State{Sum: money.MustParse("12345.678"), Events: 77}
	in := price.Input{Quantity: money.MustParse("2.5"), ID: "e-1", Time: pricedAt, Zone: zone}
	in.Period.Start, in.Period.End = pricedAt, pricedAt+30*24*int64(time.Hour)
	asked := make([]string, catalog.MostDimensions)
	n := 0
	return out.steps(s, name, goal, func() error {
		selected := rate
		if rate.Matrix != nil {
			asked[0] = values[n%len(values)]
			n++
			selected = rate.Matrix.Select(asked[:len(rate.Matrix.Dimensions)], pricedAt, zone)
		}
		segment := &segments[0]
		segment.Rate, segment.State = selected, before
		if err := price.Add(selected, &segment.State, &in); err != nil {
			return err
		}
		_, err := price.TotalOf(selected, &segment.State, segment.Line)
		return err
	})
}

// steps times a step of rating by the processor time of this process, and counts its allocations.
func (r *report) steps(s settings, name, goal string, do func() error) error {
	var nanoseconds, allocations []float64
	for round := range s.Rounds + 1 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		used := selfCPU()
		for range s.Steps {
			if err := do(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		took := selfCPU() - used
		runtime.ReadMemStats(&after)
		if round == 0 { // warms up
			continue
		}
		nanoseconds = append(nanoseconds, float64(took)/float64(s.Steps))
		allocations = append(allocations, float64(after.Mallocs-before.Mallocs)/float64(s.Steps))
	}
	r.add(
		measured(name, "ns", nanoseconds).goal(goal),
		measured(name+": allocations", "1/event", rounded(allocations)).goal("≤ 0"),
	)
	return nil
}

// rounded takes out what the runtime allocated beside the steps: less than one in a thousand of them.
func rounded(samples []float64) []float64 {
	out := make([]float64, len(samples))
	for i, v := range samples {
		out[i] = float64(int64(v*1000)) / 1000
	}
	return out
}
