package main

import (
	"context"
	"fmt"
	"runtime"
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

// measurePrice times what one event costs where it is priced: adding it to the segment and the line's total anew; and a
// resolution that was made before.
func measurePrice(_ context.Context, _ *corner, s settings, out *report) error {
	for _, model := range pricedModels {
		rate := pricedRate(model)
		state := price.State{Sum: money.MustParse("12345.678"), Events: 77}
		in := price.Input{Quantity: money.MustParse("2.5")}
		segments := make([]price.Segment, 1) // as a line has them
		err := out.steps(s, "price one event, "+string(model), "≤ 100", func() error {
			after, err := price.Aggregate(rate, state, in)
			if err != nil {
				return err
			}
			segments[0] = price.Segment{Rate: rate, State: after}
			_, err = price.LineTotal(segments)
			return err
		})
		if err != nil {
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
