// Package oracle prices usage a second time, from the rules of pricing with math/big, and says what an invoice must show. The tests
// that run the real program judge it by this package.
//
// It imports nothing of the program and knows no more of pricing than those tests use: five rating methods, sums, rates that
// follow one another in time.
package oracle

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Rat reads a decimal that a test wrote.
func Rat(text string) *big.Rat {
	r, err := Decimal(text)
	if err != nil {
		panic(err)
	}
	return r
}

// Decimal parses a number that the program answered.
func Decimal(text string) (*big.Rat, error) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("%q is not a number", text)
	}
	return r, nil
}

// Round rounds half up to the 12th decimal; the tests' totals are above zero.
func Round(r *big.Rat) *big.Rat {
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

// Tier is one of a rate's; an empty UpTo is the last.
type Tier struct{ UpTo, Unit, Flat string }

// Rate is a rating method as the tests write it into the catalogue and as the oracle prices it.
type Rate struct {
	Model             string
	Unit              string // per_unit
	Tiers             []Tier // graduated, volume
	Size, Price, Free string // package
	Amount            string // flat
	Start, End        time.Time
	Yields            *Rate // a rate of a level above that answers while it is in effect
}

// Document is the rate in the catalogue's language.
func (r *Rate) Document() map[string]any {
	d := map[string]any{"model": r.Model}
	for name, text := range map[string]string{"unit_price": r.Unit, "size": r.Size, "price": r.Price, "free": r.Free, "amount": r.Amount} {
		if text != "" {
			d[name] = text
		}
	}
	if len(r.Tiers) > 0 {
		var tiers []any
		for _, x := range r.Tiers {
			one := map[string]any{"unit_price": x.Unit}
			if x.UpTo != "" {
				one["up_to"] = x.UpTo
			}
			if x.Flat != "" {
				one["flat_price"] = x.Flat
			}
			tiers = append(tiers, one)
		}
		d["tiers"] = tiers
	}
	if !r.Start.IsZero() {
		d["start"] = r.Start.Format(time.RFC3339)
	}
	if !r.End.IsZero() {
		d["end"] = r.End.Format(time.RFC3339)
	}
	return d
}

// holds tells whether the rate answers: it is in effect, [start, end), and none above it is.
func (r *Rate) holds(at time.Time) bool {
	if r.Yields != nil && r.Yields.holds(at) {
		return false
	}
	return (r.Start.IsZero() || !at.Before(r.Start)) && (r.End.IsZero() || at.Before(r.End))
}

// total is the price of quantity q from events many events, by the rules of pricing, at 12 decimals.
func (r *Rate) total(q *big.Rat, events int) *big.Rat {
	sum := new(big.Rat)
	add := func(units *big.Rat, price string) { sum.Add(sum, new(big.Rat).Mul(units, Rat(price))) }
	switch r.Model {
	case "per_unit":
		add(q, r.Unit)
	case "flat":
		if events > 0 {
			sum.Set(Rat(r.Amount))
		}
	case "package":
		beyond := new(big.Rat).Sub(q, Rat(r.Free))
		if beyond.Sign() > 0 {
			add(ceiling(beyond.Quo(beyond, Rat(r.Size))), r.Price)
		}
	case "graduated":
		if q.Sign() <= 0 {
			return sum
		}
		lower := new(big.Rat)
		for _, x := range r.Tiers {
			last := x.UpTo == "" || q.Cmp(Rat(x.UpTo)) <= 0
			upper := q
			if !last {
				upper = Rat(x.UpTo)
			}
			add(new(big.Rat).Sub(upper, lower), x.Unit)
			if x.Flat != "" {
				sum.Add(sum, Rat(x.Flat))
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
		for _, x := range r.Tiers {
			if x.UpTo == "" || q.Cmp(Rat(x.UpTo)) <= 0 {
				add(q, x.Unit)
				if x.Flat != "" {
					sum.Add(sum, Rat(x.Flat))
				}
				break
			}
		}
	default:
		panic("the oracle does not price " + r.Model)
	}
	return Round(sum)
}

// Use is one rated usage event: what matters for its line.
type Use struct {
	Billed, Account, Product, Group string // Group: the value of the product's group_by
	Quantity                        string
	At                              time.Time
}

// Book sums uses by line and by the rate that was in effect. The order of the uses does not count.
type Book struct {
	rates func(account, product string) []*Rate
	lines map[lineKey][]segment
}

type lineKey struct{ billed, account, product, group string }

// segment is a line's usage under one rate.
type segment struct {
	quantity *big.Rat
	events   int
}

// NewBook begins a book; rates gives the rates of an account's product in the order of their starts, always the same ones.
func NewBook(rates func(account, product string) []*Rate) *Book {
	return &Book{rates: rates, lines: map[lineKey][]segment{}}
}

// Add enters one use. Exactly one rate has to hold at its time.
func (b *Book) Add(u Use) {
	rates := b.rates(u.Account, u.Product)
	k := lineKey{u.Billed, u.Account, u.Product, u.Group}
	line := b.lines[k]
	if line == nil {
		line = make([]segment, len(rates))
		for i := range line {
			line[i].quantity = new(big.Rat)
		}
		b.lines[k] = line
	}
	found := 0
	for i, r := range rates {
		if r.holds(u.At) {
			line[i].quantity.Add(line[i].quantity, Rat(u.Quantity))
			line[i].events++
			found++
		}
	}
	if found != 1 {
		panic(fmt.Sprintf("%d rates of %v hold at %s", found, k, u.At))
	}
}

// Bills prices the lines by billed account, each rate in effect a segment: the sum over k of Total_k(S_k) − Total_k(S_k−1).
func (b *Book) Bills() map[string]*Expectation {
	bills := map[string]*Expectation{}
	for k, segments := range b.lines {
		line := &ExpectedLine{Amount: new(big.Rat), Quantity: new(big.Rat)}
		for i, r := range b.rates(k.account, k.product) {
			if segments[i].events == 0 {
				continue
			}
			before, had := new(big.Rat).Set(line.Quantity), line.Events
			line.Quantity.Add(line.Quantity, segments[i].quantity)
			line.Events += segments[i].events
			line.Amount.Add(line.Amount, r.total(line.Quantity, line.Events))
			line.Amount.Sub(line.Amount, r.total(before, had))
		}
		e := bills[k.billed]
		if e == nil {
			e = &Expectation{Total: new(big.Rat), Lines: map[string]*ExpectedLine{}}
			bills[k.billed] = e
		}
		e.Lines[lineName(k.account, k.product, k.group)] = line
		e.Total.Add(e.Total, line.Amount)
	}
	return bills
}

// Bill prices uses in one go.
func Bill(uses []Use, rates func(account, product string) []*Rate) map[string]*Expectation {
	b := NewBook(rates)
	for _, u := range uses {
		b.Add(u)
	}
	return b.Bills()
}

// lineName is how a line is compared.
func lineName(account, product, group string) string {
	return strings.TrimRight(account+" "+product+" "+group, " ")
}

// Expectation is what an invoice must show.
type Expectation struct {
	Total *big.Rat
	Lines map[string]*ExpectedLine // by account, product and group
}

// ExpectedLine is one of its lines.
type ExpectedLine struct {
	Amount, Quantity *big.Rat
	Events           int
}

// Invoice is the program's answer.
type Invoice struct {
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

// Differs names the first thing in which an invoice is not what was expected.
func (e *Expectation) Differs(i *Invoice) error {
	seen := []string{}
	for _, l := range i.Lines {
		group := ""
		for _, v := range l.Attributes {
			group += v
		}
		name := lineName(l.Account, l.Product, group)
		want := e.Lines[name]
		if want == nil || slices.Contains(seen, name) {
			return fmt.Errorf("line %s is there and should not be", name)
		}
		seen = append(seen, name)
		if l.Events != want.Events {
			return fmt.Errorf("line %s has %d events, want %d", name, l.Events, want.Events)
		}
		for what, pair := range map[string][2]any{"quantity": {l.Quantity, want.Quantity}, "amount": {l.Amount, want.Amount}} {
			if err := Same(pair[0].(string), pair[1].(*big.Rat)); err != nil { //nolint:forcetypeassert // two lines up
				return fmt.Errorf("line %s: %s: %w", name, what, err)
			}
		}
	}
	if len(seen) != len(e.Lines) {
		return fmt.Errorf("%d lines, want %d", len(seen), len(e.Lines))
	}
	if err := Same(i.Total, e.Total); err != nil {
		return fmt.Errorf("total: %w", err)
	}
	return nil
}

// Same compares to the last digit.
func Same(got string, want *big.Rat) error {
	g, err := Decimal(got)
	if err != nil {
		return err
	}
	if g.Cmp(want) != 0 {
		return fmt.Errorf("%s, want %s", got, want.FloatString(12))
	}
	return nil
}
