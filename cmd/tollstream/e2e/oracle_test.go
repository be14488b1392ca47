package e2e

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// rat reads a decimal that a test wrote.
func rat(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("not a number: " + text)
	}
	return r
}

// decimal parses a number that the program answered.
func decimal(text string) (*big.Rat, error) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%q is not a number", text)
	}
	return r, nil
}

// round12 rounds half up to the 12th decimal; the tests' totals are above zero.
func round12(r *big.Rat) *big.Rat {
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(12), nil)
	n := new(big.Int).Mul(r.Num(), scale)
	n.Mul(n, big.NewInt(2)).Add(n, r.Denom())
	n.Div(n, new(big.Int).Mul(r.Denom(), big.NewInt(2))) // towards minus infinity: the denominator is above zero
	return new(big.Rat).SetFrac(n, scale)
}

// ceiling is the smallest whole number that is not below r.
func ceiling(r *big.Rat) *big.Rat {
	n := new(big.Int).Neg(r.Num())
	n.Div(n, r.Denom())
	return new(big.Rat).SetInt(n.Neg(n))
}

// tier is one of a rate's; an empty upTo is the last.
type tier struct{ upTo, unit, flat string }

// rate is a rating method as the tests write it into the catalogue and as the oracle prices it.
type rate struct {
	model             string
	unit              string // per_unit
	tiers             []tier // graduated, volume
	size, price, free string // package
	amount            string // flat
	start, end        time.Time
	yields            *rate // a rate of a level above that answers while it is in effect
}

// document is the rate in the catalogue's language.
func (r *rate) document() map[string]any {
	d := map[string]any{"model": r.model}
	for name, text := range map[string]string{"unit_price": r.unit, "size": r.size, "price": r.price, "free": r.free, "amount": r.amount} {
		if text != "" {
			d[name] = text
		}
	}
	if len(r.tiers) > 0 {
		var tiers []any
		for _, x := range r.tiers {
			one := map[string]any{"unit_price": x.unit}
			if x.upTo != "" {
				one["up_to"] = x.upTo
			}
			if x.flat != "" {
				one["flat_price"] = x.flat
			}
			tiers = append(tiers, one)
		}
		d["tiers"] = tiers
	}
	if !r.start.IsZero() {
		d["start"] = r.start.Format(time.RFC3339)
	}
	if !r.end.IsZero() {
		d["end"] = r.end.Format(time.RFC3339)
	}
	return d
}

// holds tells whether the rate answers: it is in effect, [start, end), and none above it is.
func (r *rate) holds(at time.Time) bool {
	if r.yields != nil && r.yields.holds(at) {
		return false
	}
	return (r.start.IsZero() || !at.Before(r.start)) && (r.end.IsZero() || at.Before(r.end))
}

// total is the price of quantity q from events many events, by the rules of pricing, at 12 decimals.
func (r *rate) total(q *big.Rat, events int) *big.Rat {
	sum := new(big.Rat)
	add := func(units *big.Rat, price string) { sum.Add(sum, new(big.Rat).Mul(units, rat(price))) }
	switch r.model {
	case "per_unit":
		add(q, r.unit)
	case "flat":
		if events > 0 {
			sum.Set(rat(r.amount))
		}
	case "package":
		beyond := new(big.Rat).Sub(q, rat(r.free))
		if beyond.Sign() > 0 {
			add(ceiling(beyond.Quo(beyond, rat(r.size))), r.price)
		}
	case "graduated":
		if q.Sign() <= 0 {
			return sum
		}
		lower := new(big.Rat)
		for _, x := range r.tiers {
			last := x.upTo == "" || q.Cmp(rat(x.upTo)) <= 0
			upper := q
			if !last {
				upper = rat(x.upTo)
			}
			add(new(big.Rat).Sub(upper, lower), x.unit)
			if x.flat != "" {
				sum.Add(sum, rat(x.flat))
			}
			if last {
				break
			}
			lower = upper
		}
	case "volume":
		if q.Sign() <= 0 {
			return sum
		}
		for _, x := range r.tiers {
			if x.upTo == "" || q.Cmp(rat(x.upTo)) <= 0 {
				add(q, x.unit)
				if x.flat != "" {
					sum.Add(sum, rat(x.flat))
				}
				break
			}
		}
	default:
		panic("the oracle does not price " + r.model)
	}
	return round12(sum)
}

// use is one rated usage event: what matters for its line.
type use struct {
	billed, account, product, group string // group: the value of the product's group_by
	quantity                        string
	at                              time.Time
}

// lineName is how a line is compared.
func lineName(account, product, group string) string {
	return strings.TrimRight(account+" "+product+" "+group, " ")
}

// expectation is what an invoice must show.
type expectation struct {
	total *big.Rat
	lines map[string]*expectedLine
}

type expectedLine struct {
	amount, quantity *big.Rat
	events           int
}

// bill prices uses, line by line, each rate in effect a segment: the sum over k of Total_k(S_k) − Total_k(S_k−1). rates gives the
// rates of an account's product in the order of their starts.
func bill(uses []use, rates func(account, product string) []*rate) map[string]*expectation {
	type key struct{ billed, account, product, group string }
	byLine := map[key][]use{}
	for _, u := range uses {
		k := key{u.billed, u.account, u.product, u.group}
		byLine[k] = append(byLine[k], u)
	}
	bills := map[string]*expectation{}
	for k, list := range byLine {
		line := &expectedLine{amount: new(big.Rat), quantity: new(big.Rat)}
		for _, r := range rates(k.account, k.product) {
			before, had := new(big.Rat).Set(line.quantity), line.events
			for _, u := range list {
				if r.holds(u.at) {
					line.quantity.Add(line.quantity, rat(u.quantity))
					line.events++
				}
			}
			if line.events > had {
				line.amount.Add(line.amount, r.total(line.quantity, line.events))
				line.amount.Sub(line.amount, r.total(before, had))
			}
		}
		if line.events != len(list) {
			panic(fmt.Sprintf("rates of %v do not cover its events: %d of %d", k, line.events, len(list)))
		}
		b := bills[k.billed]
		if b == nil {
			b = &expectation{total: new(big.Rat), lines: map[string]*expectedLine{}}
			bills[k.billed] = b
		}
		b.lines[lineName(k.account, k.product, k.group)] = line
		b.total.Add(b.total, line.amount)
	}
	return bills
}

// invoice is the program's answer.
type invoice struct {
	Total    string `json:"total"`
	Currency string `json:"currency"`
	Period   struct{ Start, End time.Time }
	Lines    []struct {
		ID         string            `json:"id"`
		Account    string            `json:"usage_account"`
		Product    string            `json:"product"`
		Attributes map[string]string `json:"attributes"`
		Quantity   string            `json:"quantity"`
		Events     int               `json:"events"`
		Amount     string            `json:"amount"`
		Rate       struct {
			Level, Account, ID, Model string
		}
	} `json:"lines"`
}

// differs names the first thing in which an invoice is not what was expected.
func (e *expectation) differs(i *invoice) error {
	seen := []string{}
	for _, l := range i.Lines {
		group := ""
		for _, v := range l.Attributes {
			group += v
		}
		name := lineName(l.Account, l.Product, group)
		want := e.lines[name]
		if want == nil || slices.Contains(seen, name) {
			return fmt.Errorf("line %s is there and should not be", name)
		}
		seen = append(seen, name)
		if l.Events != want.events {
			return fmt.Errorf("line %s has %d events, want %d", name, l.Events, want.events)
		}
		for what, pair := range map[string][2]any{"quantity": {l.Quantity, want.quantity}, "amount": {l.Amount, want.amount}} {
			if err := same(pair[0].(string), pair[1].(*big.Rat)); err != nil { //nolint:forcetypeassert // two lines up
				return fmt.Errorf("line %s: %s: %w", name, what, err)
			}
		}
	}
	if len(seen) != len(e.lines) {
		return fmt.Errorf("%d lines, want %d", len(seen), len(e.lines))
	}
	if err := same(i.Total, e.total); err != nil {
		return fmt.Errorf("total: %w", err)
	}
	return nil
}

// same compares to the last digit.
func same(got string, want *big.Rat) error {
	g, err := decimal(got)
	if err != nil {
		return err
	}
	if g.Cmp(want) != 0 {
		return fmt.Errorf("%s, want %s", got, want.FloatString(12))
	}
	return nil
}
