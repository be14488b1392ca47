package price

import (
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// PoolTotal gives the price of all usage in a pool, whose segments stand in the order of CompareSegments: that of one line with these
// segments. Of the model capacity a segment's Cell is its product, and CapacityPoolTotal prices them.
//
// The charge of an event is the difference of the pool's totals after and before it.
func PoolTotal(segments []Segment) (money.Decimal, error) {
	if len(segments) > 0 && segments[0].Rate.Model == catalog.ModelCapacity {
		return CapacityPoolTotal(segments)
	}
	return LineTotal(segments)
}

// Without takes part, with which all was merged, out of it again. In a pool states are sums, numbers of events and largest quantities. It
// reports false where part has the largest: which is the next one nobody knows but those who have the rest.
func Without(all, part *State) (left State, known bool, err error) {
	left = State{Events: all.Events - part.Events, Peak: all.Peak}
	if left.Events == 0 {
		return State{}, true, nil
	}
	left.Sum, err = all.Sum.Sub(part.Sum)
	return left, all.Peak.IsZero() || part.Peak != all.Peak, err
}

// CapacityPoolTotal prices what a pool used under capacities, each rate id on several products, a segment for each rate and
// product. Where one capacity follows another inside a period, amounts are as on any line:
//
//	Σ Total_k(S_k) − Total_k(S_k−1), where S_k is what was used of every product under capacity k and those before it
//
// Before it are those that ended when it began, and those that share a product with it; capacities side by side have nothing to
// do with each other. The number of segments is small: products times prices of one account.
func CapacityPoolTotal(segments []Segment) (money.Decimal, error) {
	var few [4]capacity
	capacities := capacitiesOf(few[:0], segments)
	var total money.Decimal
	for k := range capacities {
		amount, err := amountOf(capacities, k)
		if err == nil {
			total, err = total.Add(amount)
		}
		if err != nil {
			return money.Decimal{}, err
		}
	}
	return total, nil
}

// amountOf gives Total_k(S_k) − Total_k(S_k−1).
func amountOf(capacities []capacity, k int) (money.Decimal, error) {
	var space [8]Used
	c, used := &capacities[k], space[:0]
	var err error
	for j := k - 1; j >= 0 && !c.rate.TiersRestart; j-- {
		if !capacities[j].before(c) || !c.rate.GoesOnFrom(capacities[j].rate.Start) {
			continue
		}
		if used, err = capacities[j].add(used); err != nil {
			return money.Decimal{}, err
		}
	}
	already, err := c.total(used)
	if err != nil {
		return money.Decimal{}, err
	}
	if used, err = c.add(used); err != nil {
		return money.Decimal{}, err
	}
	upTo, err := c.total(used)
	if err != nil {
		return money.Decimal{}, err
	}
	return upTo.Sub(already)
}

// partOfCapacity is what a pool's capacities cost, with what of each product it has used.
func partOfCapacity(segments []Segment) ([]part, error) {
	total, err := CapacityPoolTotal(segments)
	if err != nil {
		return nil, err
	}
	last := &segments[len(segments)-1]
	p := part{rate: last.Rate, amount: total, plus: flatTerms(&catalog.Rate{Amount: total}, money.Decimal{})}
	used, err := usedTogether(segments)
	if err != nil {
		return nil, err
	}
	words := make([]string, len(used))
	for i := range used {
		words[i] = used[i].Quantity.String() + " of " + used[i].Product
	}
	p.note = "used together: " + strings.Join(words, ", ")
	return []part{p}, nil
}

// usedTogether gives what capacities hold of each product.
func usedTogether(segments []Segment) ([]Used, error) {
	var all capacity
	for i := range segments {
		all.segments = append(all.segments, &segments[i])
	}
	return all.add(nil)
}

// capacity is what was used under one rate id.
type capacity struct {
	rate     *catalog.Rate
	segments []*Segment
}

// capacitiesOf puts the segments of each rate together, in the order of their starts and ids.
func capacitiesOf(into []capacity, segments []Segment) []capacity {
	for i := range segments {
		s := &segments[i]
		if s.State.Events == 0 {
			continue
		}
		at, found := slices.BinarySearchFunc(into, s.Rate, func(c capacity, r *catalog.Rate) int { return compareRates(c.rate, r) })
		if !found {
			into = slices.Insert(into, at, capacity{rate: s.Rate})
		}
		into[at].segments = append(into[at].segments, s)
	}
	return into
}

// before says whether c is a capacity whose place d has taken.
func (c *capacity) before(d *capacity) bool {
	if c.rate.End <= d.rate.Start {
		return true
	}
	return slices.ContainsFunc(c.segments, func(s *Segment) bool { return d.covers(s.Cell) })
}

// covers says whether the capacity counts the product.
func (c *capacity) covers(product string) bool {
	for i := range c.rate.Capacity {
		for j := range c.rate.Capacity[i].Limits {
			if c.rate.Capacity[i].Limits[j].Product == product {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.segments, func(s *Segment) bool { return s.Cell == product })
}

// add adds what was used under the capacity.
func (c *capacity) add(used []Used) ([]Used, error) {
	for _, s := range c.segments {
		at := slices.IndexFunc(used, func(u Used) bool { return u.Product == s.Cell })
		if at < 0 {
			used = append(used, Used{Product: s.Cell})
			at = len(used) - 1
		}
		var err error
		if used[at].Quantity, err = used[at].Quantity.Add(s.State.Sum); err != nil {
			return used, err
		}
	}
	return used, nil
}

// total prices what was used, rounded as the rate rounds totals.
func (c *capacity) total(used []Used) (money.Decimal, error) {
	var space [8]Used
	rounded := append(space[:0], used...)
	for i := range rounded {
		var err error
		if rounded[i].Quantity, err = totalQuantity(&c.rate.Rounding, rounded[i].Quantity); err != nil {
			return money.Decimal{}, err
		}
	}
	total, err := CapacityTotal(c.rate, rounded)
	if c.rate.Maximum.Sign() > 0 && total.Cmp(c.rate.Maximum) > 0 {
		total = c.rate.Maximum
	}
	if x := c.segments[0].Exchange; err == nil && x.Used() {
		return x.Convert(total)
	}
	return total, err
}
