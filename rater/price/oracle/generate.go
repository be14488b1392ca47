package oracle

import (
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Options narrow what Generate draws. The zero value draws all.
type Options struct {
	// Models and Aggregations are what to draw from; empty: all. Both go by the catalogue's names.
	Models, Aggregations []string
	// Without leaves out features by name; see Features.
	Without []string
}

// Features are the names that Options.Without understands, besides models and aggregations.
func Features() []string {
	return slices.Concat([]string{
		"accounts", "bounds", "carried", "gap", "group_by", "huge", "included", "increments", "level_absolute", "maximum",
		"milliseconds", "minimum", "negative", "package_names", "pool", "prices_change", "prorate", "rejected", "rounding",
		"split_false", "tiers_restart", "zero_usage_flat",
	}, allModels, allAggregations)
}

var (
	allModels = []string{
		flat, perUnit, graduated, volume, packaged, blockGraduated, blockVolume, percentage, graduatedPercentage, matrix, dynamic, capacity, formula,
	}
	allAggregations = []string{sumOf, countOf, maxOf, latestOf, uniqueOf, timeWeighted}
)

type generator struct {
	*rand.Rand
	o Options
	c *Case

	matches    []Entry // what a matrix of this case may match
	dimensions []Dimension
	level      string
	targets    []*big.Rat // quantities worth hitting
	huge       bool
	// alike: every rate of the case accumulates the same; settled: there is one rate only.
	alike, settled bool
}

// Generate draws the case of a seed. It is always in scope, and the same for the same seed and options.
func Generate(seed uint64, o Options) Case {
	for attempt := uint64(0); ; attempt++ {
		g := &generator{Rand: rand.New(rand.NewPCG(seed, attempt)), o: o, c: &Case{Seed: seed}}
		g.draw()
		if g.c.scoped() == "" && g.c.Doubt() == "" {
			return *g.c
		}
	}
}

// Permute is the case with its log in another order.
func Permute(c Case, seed uint64) Case {
	c.Events = slices.Clone(c.Events)
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(c.Events), func(i, j int) {
		c.Events[i], c.Events[j] = c.Events[j], c.Events[i]
	})
	return c
}

// may is true once in n, for a feature that is not left out.
func (g *generator) may(feature string, n int) bool {
	return g.IntN(n) == 0 && !slices.Contains(g.o.Without, feature)
}

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// among is what of a list is wanted; if nothing, then the list.
func (g *generator) among(all, wanted []string) []string {
	var left []string
	for _, x := range all {
		if (len(wanted) == 0 || slices.Contains(wanted, x)) && !slices.Contains(g.o.Without, x) {
			left = append(left, x)
		}
	}
	return left
}

var zones = sync.OnceValue(func() map[string]*time.Location {
	m := map[string]*time.Location{}
	for _, name := range []string{
		"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Auckland",
	} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		m[name] = zone
	}
	return m
})

func (g *generator) draw() {
	c := g.c
	zone := zones()[pick(g, slices.Sorted(maps.Keys(zones()))...)]
	// Months in which clocks change somewhere among the zones, and others.
	month := pick(g, time.March, time.October, time.November, time.April, time.September, time.February, time.July, time.December)
	c.Usage = Usage{
		Start: time.Date(2026, month, 1, 0, 0, 0, 0, zone), End: time.Date(2026, month+1, 1, 0, 0, 0, 0, zone), Zone: zone,
	}
	c.Products, c.Accounts = []string{"calls"}, []string{"acme"}
	g.level = pick(g, "", "change")
	if g.may("level_absolute", 2) {
		g.level = "absolute"
	}
	g.huge = g.may("huge", 10)
	g.drawRates()
	g.drawPlaces()
	g.drawEvents()
	g.settle()
}

// drawPlaces spreads the usage over lines: groups, packages, accounts.
func (g *generator) drawPlaces() {
	c := g.c
	if c.Rates[0].Model == capacity {
		return
	}
	if pool := c.pool(); pool == "invoice" || g.may("accounts", 12) {
		c.Accounts = append(c.Accounts, "branch")
	}
	if pool := c.pool(); pool == "package" || g.may("package_names", 12) {
		c.Packages = []string{"p1", "p2"}
	}
	named := slices.ContainsFunc(c.Rates, func(r Rate) bool { return r.Formula != nil && r.Formula.Group != "" })
	if pool := c.pool(); named || g.may("group_by", 10) || (pool == "package" || pool == "account") && g.may("group_by", 1) {
		c.GroupBy = []string{"team"}
	}
	// A level is carried into a line, so that there is one; and into its first rate.
	if g.settled && c.Rates[0].Aggregation == timeWeighted && c.Rates[0].Model != matrix && !named && g.may("carried", 3) {
		c.Accounts, c.Packages, c.GroupBy = c.Accounts[:1], nil, nil
		c.Usage.Carried = pick(g, num(1), num(7), rat("2.5"))
	}
}

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic("oracle: no number: " + s)
	}
	return r
}

// instants are times at which something may go wrong: the ends of the period and of rates, midnights, changes of the clocks.
func (g *generator) instants() []time.Time {
	u := g.c.Usage
	at := []time.Time{u.Start, u.End.Add(-time.Second)}
	for _, r := range g.c.Rates {
		for _, t := range []time.Time{r.Start, r.End} {
			if !t.IsZero() {
				at = append(at, t, t.Add(-time.Second))
			}
		}
	}
	_, offset := u.Start.Zone()
	for t := u.Start; t.Before(u.End); t = t.Add(time.Hour) {
		if _, now := t.In(u.Zone).Zone(); now != offset {
			offset = now
			at = append(at, t.Add(-time.Hour), t, t.Add(-30*time.Minute), t.Add(time.Hour))
		}
	}
	for range 3 {
		d := time.Date(u.Start.Year(), u.Start.Month(), 1+g.IntN(28), pick(g, 0, 0, 0, 2, 6, 12, 22), 0, 0, 0, u.Zone)
		at = append(at, d, d.Add(-time.Second))
	}
	return slices.DeleteFunc(at, func(t time.Time) bool { return t.Before(u.Start) || !t.Before(u.End) })
}

func (g *generator) drawEvents() {
	c := g.c
	at := g.instants()
	n := pick(g, 0, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10)
	if g.huge {
		n = min(n, 3)
	}
	ids := g.Perm(n + 2) // so that e10 stands before e9, and the log's order is not that of the ids
	so := num(0)
	for i := range n {
		e := Event{
			ID: fmt.Sprintf("e%d", 8+ids[i]), Account: pick(g, c.Accounts...), Product: pick(g, c.Products...), Attributes: map[string]string{},
		}
		if e.Time = pick(g, at...); g.IntN(4) == 0 {
			e.Time = c.Usage.Start.Add(time.Duration(g.Int64N(int64(c.Usage.End.Sub(c.Usage.Start)/time.Second))) * time.Second)
		}
		if g.may("milliseconds", 20) {
			e.Time = e.Time.Add(time.Duration(g.IntN(999)) * time.Millisecond)
		}
		if len(c.Packages) > 0 && g.IntN(4) > 0 {
			e.Package = pick(g, c.Packages...)
		}
		e.Quantity = g.quantity(so)
		g.fit(&e)
		so = add(so, e.Quantity)
		c.Events = append(c.Events, e)
	}
}

// quantity is often one with which the sum so far comes to a bound, or one step beside it.
func (g *generator) quantity(so *big.Rat) *big.Rat {
	step := pick(g, "0", "0", "0", "1", "-1", "0.000000000001", "-0.000000000001", "0.5")
	switch n := g.IntN(10); {
	case g.huge && n < 6:
		return pick(g, ten(15), sub(ten(15), ten(-12)), ten(14), num(1))
	case n < 3 && len(g.targets) > 0:
		return add(pick(g, g.targets...), rat(step))
	case n < 6 && len(g.targets) > 0:
		return add(sub(pick(g, g.targets...), so), rat(step))
	case n < 7:
		return pick(g, num(0), rat("0.000000000001"), rat("0.333333333333"), rat("12.345678901234"), num(100))
	}
	return num(int64(g.IntN(15)))
}

// fit makes the event one that its rate takes, but for a few; and gives it what the rate looks at.
func (g *generator) fit(e *Event) {
	c := g.c
	for _, name := range c.GroupBy {
		e.Attributes[name] = pick(g, "red", "blue")
	}
	for _, d := range g.dimensions {
		g.attribute(e, d)
	}
	k := slices.IndexFunc(c.Rates, func(r Rate) bool { return r.covers(e.Time) })
	if k < 0 {
		e.Quantity = new(big.Rat).Abs(e.Quantity)
		return
	}
	negative := g.may("negative", 3)
	for _, cell := range c.Rates[k].cells() {
		r := cell.rate
		a := r.aggregation()
		if a == uniqueOf && !g.may("rejected", 30) {
			e.Attributes[r.Attribute] = pick(g, "ann", "bob", "cy")
		}
		if r.OfMoney() && e.Amount == nil && (r.Model == dynamic || g.IntN(3) > 0) && !(r.Model == dynamic && g.may("rejected", 20)) {
			e.Amount = new(big.Rat).Set(e.Quantity)
			if g.IntN(2) == 0 {
				e.Quantity = num(int64(g.IntN(9)))
			}
		}
		if unwinds := a == sumOf || a == timeWeighted; !unwinds || r.Model == capacity {
			negative = negative && r.Model != capacity && g.may("rejected", 8)
		}
	}
	if !negative {
		e.Quantity.Abs(e.Quantity)
		if e.Amount != nil {
			e.Amount.Abs(e.Amount)
		}
	} else if g.IntN(2) == 0 {
		e.Quantity.Neg(e.Quantity)
	}
}

// settle takes out what events brought into doubt.
func (g *generator) settle() {
	c := g.c
	if c.Usage.Carried != nil && c.Expected().Lines == nil {
		c.Usage.Carried = nil
	}
}
