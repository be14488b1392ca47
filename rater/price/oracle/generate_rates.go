package oracle

import (
	"fmt"
	"math/big"
	"slices"
	"time"
)

// drawRates draws one to four rates that follow one another.
func (g *generator) drawRates() {
	c := g.c
	n := 1
	if g.may("prices_change", 2) {
		n = 2 + g.IntN(3)
	}
	g.settled = n == 1
	models := g.among(allModels, g.o.Models)
	if slices.Contains(g.o.Without, "pool") {
		models = slices.DeleteFunc(models, func(m string) bool { return m == capacity })
	}
	model := pick(g, models...)
	if slices.Contains(models, matrix) && g.IntN(10) == 0 {
		model = matrix // it has the most to try
	}
	aggregation := g.aggregationFor(model)
	prorate := (model == graduated || model == volume) && aggregation == sumOf && g.may("prorate", 2)
	pool := g.drawPool(model, aggregation, prorate)
	g.alike = pool != "" || prorate || model == capacity || model == matrix || g.IntN(3) > 0
	for i := range n {
		r := Rate{Model: model, Aggregation: aggregation}
		switch {
		case prorate || pool != "" && model != capacity:
			if model == graduated || model == volume {
				r.Model = pick(g, g.among([]string{graduated, volume}, models)...)
			}
		case !g.alike && i > 0:
			r.Model = pick(g, slices.DeleteFunc(slices.Clone(models), func(m string) bool { return m == capacity || m == matrix })...)
			r.Aggregation = g.aggregationFor(r.Model)
		}
		r.ProrateDay, r.Pool = prorate && g.IntN(5) > 0, pool
		g.prices(&r, pool != "")
		r.Restart = i > 0 && g.may("tiers_restart", 5)
		c.Rates = append(c.Rates, r)
	}
	g.periods()
}

func (g *generator) aggregationFor(model string) string {
	switch model {
	case percentage, graduatedPercentage, dynamic, capacity:
		return ""
	}
	if len(g.o.Aggregations) == 0 && g.IntN(2) == 0 && !slices.Contains(g.o.Without, sumOf) {
		return pick(g, "", sumOf)
	}
	return pick(g, g.among(allAggregations, g.o.Aggregations)...)
}

func (g *generator) drawPool(model, aggregation string, prorate bool) string {
	if model == capacity {
		g.c.Products = []string{"calls", "data", "texts"}[:2+g.IntN(2)]
		return "account"
	}
	tiered := []string{graduated, volume, packaged, blockGraduated, blockVolume, graduatedPercentage}
	order := []string{"", sumOf, countOf, maxOf}
	if slices.Contains(tiered, model) && slices.Contains(order, aggregation) && !prorate && g.may("pool", 8) {
		pools := []string{"line"}
		// What each needs to have more than one line.
		for pool, needs := range map[string]string{"account": "group_by", "package": "package_names", "invoice": "accounts"} {
			if !slices.Contains(g.o.Without, needs) {
				pools = append(pools, pool)
			}
		}
		slices.Sort(pools)
		return pick(g, pools...)
	}
	return ""
}

// periods gives each rate its part of the time, sometimes with nothing in between.
func (g *generator) periods() {
	c := g.c
	seen := map[time.Time]bool{}
	var at []time.Time
	for len(at) < len(c.Rates)-1 {
		t := time.Date(c.Usage.Start.Year(), c.Usage.Start.Month(), 2+g.IntN(26), pick(g, 0, 0, 0, 2, 3, 13), 0, 0, 0, c.Usage.Zone)
		if !seen[t] {
			seen[t], at = true, append(at, t)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	for i, t := range at {
		c.Rates[i].End, c.Rates[i+1].Start = t, t
		if before := t.Add(-time.Hour); g.may("gap", 20) && (i == 0 || before.After(at[i-1])) {
			c.Rates[i].End = before
		}
	}
	if g.IntN(2) == 0 {
		c.Rates[0].Start = c.Usage.Start
	}
	if g.IntN(4) == 0 {
		c.Rates[len(c.Rates)-1].End = c.Usage.End
	}
}

func (g *generator) price() *big.Rat {
	if g.huge {
		return pick(g, num(0), num(1), rat("0.5"), rat("0.000000000001"), rat("0.333333333333"), ten(15))
	}
	switch g.IntN(4) {
	case 0:
		return pick(g, num(0), num(1), rat("0.000000000001"), rat("0.333333333333"), rat("1.234567890123"), num(10))
	case 1:
		return big.NewRat(int64(g.IntN(100)), 100)
	}
	return num(int64(g.IntN(12)))
}

// bound is above the last one; of large numbers the first leaves room for some.
func (g *generator) bound(above *big.Rat) *big.Rat {
	if g.huge && above.Sign() == 0 {
		g.targets = append(g.targets, sub(ten(15), num(1)))
		return g.targets[len(g.targets)-1]
	}
	b := add(above, g.step())
	g.targets = append(g.targets, b)
	return b
}

func (g *generator) step() *big.Rat {
	if g.huge {
		return rat("0.25")
	}
	return pick(g, num(1), num(5), num(10), num(100), rat("0.1"), rat("0.000000000001"), rat("2.5"))
}

// prices draws what the model needs and the options it may have.
func (g *generator) prices(r *Rate, pooled bool) {
	g.model(r)
	g.options(r, pooled)
	switch {
	case r.aggregation() == uniqueOf:
		r.Attribute = "user"
	case r.aggregation() == timeWeighted:
		r.Level = g.level
	}
	g.rounding(r)
	refused := func(c cell) bool { return !c.rate.takesRounding() }
	if slices.ContainsFunc(r.cells(), refused) {
		r.Rounding = nil
	}
	if r.Included != nil {
		for _, t := range g.targets {
			if g.IntN(2) == 0 {
				g.targets = append(g.targets, add(t, r.Included))
			}
		}
		g.targets = append(g.targets, r.Included)
	}
}

func (g *generator) model(r *Rate) {
	switch r.Model {
	case flat:
		r.Amount = g.price()
	case perUnit:
		r.UnitPrice = g.price()
	case graduated, volume, graduatedPercentage, blockGraduated, blockVolume, capacity:
		g.tiers(r)
	case packaged:
		r.Size, r.Price = pick(g, num(1), num(10), rat("2.5"), num(3)), g.price()
		g.targets = append(g.targets, r.Size)
		if g.IntN(2) == 0 {
			r.Free = pick(g, num(0), num(1), num(5), rat("0.5"))
			g.targets = append(g.targets, r.Free, add(r.Free, r.Size), add(r.Free, mul(r.Size, num(2))))
		}
	case formula:
		r.Formula = &Formula{Then: g.price(), Else: g.price(), Events: g.price(), Days: g.price()}
		if g.may("group_by", 2) && r.Pool == "" {
			r.Formula.Group, r.Formula.Value = "team", pick(g, "red", "blue", "", "Red")
		}
	case percentage:
		g.percentage(r)
	case matrix:
		g.matrix(r)
	}
}

func (g *generator) percentage(r *Rate) {
	r.Percent = pick(g, num(0), num(1), rat("2.9"), rat("0.333333333333"), num(50), num(100))
	if g.IntN(2) == 0 {
		r.Fixed = pick(g, rat("0.3"), num(2), num(0), rat("0.000000000001"))
	}
	if g.IntN(3) == 0 {
		r.FreeEvents = pick(g, 1, 2, 3)
	}
	if g.IntN(3) == 0 {
		r.FreeAmount = pick(g, num(10), num(25), rat("0.5"), num(100))
		g.targets = append(g.targets, r.FreeAmount)
	}
	if g.IntN(3) == 0 {
		r.Min = pick(g, rat("0.5"), num(1), rat("0.000000000001"))
	}
	if g.IntN(3) == 0 {
		r.Max = pick(g, num(1), num(2), num(12))
	}
}

func (g *generator) tiers(r *Rate) {
	n := 1 + g.IntN(4)
	end := num(0)
	for i := range n {
		var t Tier
		last := i == n-1
		if !last && r.Model != blockGraduated && r.Model != blockVolume && r.Model != capacity {
			end = g.bound(end)
			t.UpTo = end
		}
		switch r.Model {
		case graduated, volume:
			t.UnitPrice = g.price()
		case graduatedPercentage:
			t.Percent = pick(g, num(0), num(1), rat("2.5"), rat("0.333333333333"), num(100))
		case blockGraduated, blockVolume:
			t.BlockSize, t.Price = pick(g, num(1), num(5), num(10), rat("2.5")), g.price()
			if !last {
				t.MaxBlocks = pick(g, num(1), num(2), num(3), num(10))
				end = add(end, mul(t.BlockSize, t.MaxBlocks))
				g.targets = append(g.targets, end, sub(end, t.BlockSize))
			}
		case capacity:
			t.Price, t.Limits = num(int64(10*i+g.IntN(9))), map[string]*big.Rat{}
			for _, p := range g.c.Products {
				if !last || g.IntN(2) == 0 {
					t.Limits[p] = num(int64(5*i + pick(g, 1, 2, 5, 10)))
					g.targets = append(g.targets, t.Limits[p])
				}
			}
		}
		r.Tiers = append(r.Tiers, t)
	}
	if r.Model == graduated && !r.ProrateDay && r.Pool == "" && (r.aggregation() == sumOf || r.aggregation() == countOf) && g.may("split_false", 5) {
		r.WholeEvent = true
	}
	flats := r.Model == graduated || r.Model == volume || r.Model == graduatedPercentage
	for i := range r.Tiers {
		if flats && g.IntN(2) == 0 {
			r.Tiers[i].Flat = g.price()
		}
	}
}

// options are those that every model, or most, may have.
func (g *generator) options(r *Rate, pooled bool) {
	tiered := slices.Contains([]string{graduated, volume, graduatedPercentage}, r.Model)
	if (tiered || r.Model == blockVolume) && g.may("bounds", 3) {
		r.HalfOpen = true
	}
	if tiered && !r.WholeEvent && g.may("zero_usage_flat", 3) {
		r.ZeroFlat = true
	}
	includes := tiered || slices.Contains([]string{perUnit, packaged, blockGraduated, blockVolume, formula}, r.Model)
	if includes && !r.WholeEvent && g.may("included", 4) {
		r.Included = pick(g, num(1), num(10), rat("0.5"), num(100), rat("0.000000000001"))
	}
	if r.Model != capacity && g.may("maximum", 5) {
		r.Maximum = pick(g, num(1), num(10), rat("5.5"), num(50), rat("0.333333333333"))
	}
	if !pooled && r.Model != capacity && g.may("minimum", 20) {
		if r.Minimum = num(5); r.Maximum != nil {
			r.Minimum = least(r.Minimum, r.Maximum)
		}
	}
}

func (g *generator) rounding(r *Rate) {
	a := r.aggregation()
	if g.may("rounding", 6) {
		r.Rounding = &Rounding{Mode: pick(g, "round", "ceil", "floor"), Precision: pick(g, 0, 0, 1, 2, -1, -2, 11, 12)}
		r.Rounding.OnEvent = a != countOf && a != uniqueOf && g.IntN(2) == 0
	}
	if (a == sumOf || a == maxOf || a == latestOf || a == timeWeighted) && g.may("increments", 12) {
		r.Rounding = &Rounding{First: pick(g, num(60), num(5), num(1)), Next: pick(g, num(1), num(6), rat("0.5"))}
		g.targets = append(g.targets, r.Rounding.First, add(r.Rounding.First, r.Rounding.Next))
	}
}

// matrix draws the dimensions once for all rates of the case, and some of the matches for each.
func (g *generator) matrix(r *Rate) {
	if g.dimensions == nil {
		g.drawDimensions()
	}
	r.Dimensions = g.dimensions
	inner := slices.DeleteFunc(g.among(allModels, nil), func(m string) bool { return m == matrix || m == capacity || m == formula })
	if r.aggregation() != sumOf {
		inner = slices.DeleteFunc(inner, func(m string) bool { return m == percentage || m == graduatedPercentage || m == dynamic })
	}
	price := func() Rate {
		e := Rate{Model: pick(g, inner...), Aggregation: r.Aggregation}
		if g.IntN(2) == 0 && slices.Contains(inner, perUnit) {
			e.Model = perUnit
		}
		g.model(&e)
		g.options(&e, true)
		e.Aggregation = ""
		return e
	}
	for _, i := range g.Perm(len(g.matches))[:1+g.IntN(len(g.matches))] {
		r.Entries = append(r.Entries, Entry{Match: g.matches[i].Match, Rate: price()})
	}
	if g.IntN(2) == 0 {
		d := price()
		r.Default = &d
	}
}

func (g *generator) drawDimensions() {
	for i := range 1 + g.IntN(3) {
		d := Dimension{Name: fmt.Sprintf("d%d", i), By: pick(g, "", "exact", "prefix", "range", "time_of_day", "weekday")}
		if (d.By == "prefix" || d.By == "range") && g.IntN(2) == 0 {
			d.From = fmt.Sprintf("a%d", i)
		}
		g.dimensions = append(g.dimensions, d)
	}
	seen := map[string]bool{}
	r := Rate{Dimensions: g.dimensions}
	for range 6 {
		e := Entry{Match: map[string]Match{}}
		for _, d := range g.dimensions {
			if g.IntN(3) > 0 {
				e.Match[d.Name] = pick(g, matchesBy(d.By)...)
			}
		}
		if text := r.canonical(e.Match); len(e.Match) > 0 && !seen[text] {
			seen[text] = true
			g.matches = append(g.matches, e)
		}
	}
	if len(g.matches) == 0 {
		g.matches = []Entry{{Match: map[string]Match{"d0": matchesBy(g.dimensions[0].By)[0]}}}
	}
}

// matchesBy are conditions of which no two hold at once, but for prefixes of different length.
func matchesBy(by string) []Match {
	switch by {
	case "prefix":
		return []Match{{Values: []string{"4"}}, {Values: []string{"49"}}, {Values: []string{"4930", "43"}}, {Values: []string{"+1", "1"}}}
	case "range":
		return []Match{{To: num(0)}, {From: num(0), To: num(10)}, {From: num(10), To: rat("20.5")}, {From: rat("20.5")}}
	case "time_of_day":
		return []Match{{FromMinute: 22 * 60, ToMinute: 2 * 60}, {FromMinute: 2 * 60, ToMinute: 3 * 60}, {FromMinute: 3 * 60, ToMinute: 22 * 60}}
	case "weekday":
		return []Match{{Values: []string{"mon", "tue", "wed", "thu", "fri"}}, {Values: []string{"sat"}}, {Values: []string{"sun"}}}
	}
	return []Match{{Values: []string{"a"}}, {Values: []string{"b", "c"}}, {Values: []string{"d"}}}
}

// attribute gives an event what a dimension looks at, or nothing.
func (g *generator) attribute(e *Event, d Dimension) {
	name := d.From
	if name == "" {
		name = d.Name
	}
	switch d.By {
	case "time_of_day", "weekday":
		return
	case "prefix":
		e.Attributes[name] = pick(g, "4", "49", "493", "4930", "493012", "43", "431", "+1555", "1", "5", "")
	case "range":
		e.Attributes[name] = pick(g, "-0.000000000001", "0", "5", "9.999999999999", "10", "20.5", "20.499999999999", "1000", "many")
	default:
		e.Attributes[name] = pick(g, "a", "b", "c", "d", "e", "A")
	}
	if g.IntN(12) == 0 {
		delete(e.Attributes, name)
	}
}
