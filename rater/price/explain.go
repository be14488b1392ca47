package price

import (
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
	own "github.com/tollstream/tollstream/rater/method"
)

// Explanation is the arithmetic of a line's amount, in numbers that a customer can check by hand.
type Explanation struct {
	Segments []SegmentExplanation `json:"segments"`
	Equation string               `json:"equation"` // "100 × 0.1 + 50 × 0.05 = 12.5"; ≈ where the 12th decimal was rounded
	Amount   money.Decimal        `json:"amount"`   // LineTotal of the segments
	Err      error                `json:"-"`        // the segments have no price (LineTotal fails); all else is empty
}

// SegmentExplanation is the part of one rate. The amounts of its steps sum to its amount exactly.
type SegmentExplanation struct {
	RateID   string        `json:"rate"`
	Cell     string        `json:"cell,omitempty"` // of a matrix: which of its prices
	Quantity money.Decimal `json:"quantity"`       // used in this segment, as the rate aggregates it
	Note     string        `json:"note,omitempty"` // how the quantity was rounded, where tiers continue from
	Tiers    []TierUse     `json:"tiers,omitempty"`
	Steps    []Step        `json:"steps"`
	Equation string        `json:"equation"` // of this part alone
	Amount   money.Decimal `json:"amount"`
}

// TierUse is one tier of a segment's rate with what lies in it: for the segment, so after a price change what it added.
type TierUse struct {
	Label  string        `json:"tier"`          // "tier 2: above 100, up to 200"
	Units  money.Decimal `json:"units"`         // in it; blocks of a block method, money of a percentage
	Price  money.Decimal `json:"price"`         // of each
	Flat   money.Decimal `json:"flat,omitzero"` // flat price that became due
	Amount money.Decimal `json:"amount"`        // of all units in it, with the flat price; the last digit may be rounded
}

// Step is one term of the sum.
type Step struct {
	Text   string        `json:"text"`  // "100 × 0.1", a number alone, or "- 80 × 0.1" for a deduction
	Label  string        `json:"label"` // what the numbers are: "tier 1: up to 100"
	Amount money.Decimal `json:"amount"`
}

// term is units × price, or the price alone when it is due once, or a percentage.
type term struct {
	label string
	units money.Decimal
	price money.Decimal

	once    bool
	percent bool // price is in percent
	tier    int  // number of the rate's tier, from 1; 0: none

	left, of int64 // counts for left days of the period's; zero: for all of it

	exchange money.Decimal // turns it into the line's currency; zero: it is
	words    string        // the arithmetic of a method of the price book's own, which comes to the price
}

// amount gives what the term comes to.
func (t term) amount() (money.Decimal, error) {
	amount, err := t.inRatesCurrency()
	if err != nil || t.exchange.IsZero() {
		return amount, err
	}
	return amount.Mul(t.exchange)
}

func (t term) inRatesCurrency() (money.Decimal, error) {
	switch {
	case t.percent:
		return quotient(t.units, t.price, 100)
	case t.of > 0:
		units, err := t.units.Mul(money.FromInt(t.left))
		if err != nil {
			return money.Decimal{}, err
		}
		return quotient(units, t.price, t.of)
	}
	return t.units.Mul(t.price)
}

// quotient gives a × b / n.
func quotient(a, b money.Decimal, n int64) (money.Decimal, error) {
	var product money.Wide
	product.AddProduct(a, b)
	return product.Quo(n)
}

func fixed(label string, amount money.Decimal) term {
	return term{label: label, units: money.One, price: amount, once: true}
}

// text writes the term without a deduction's sign; negative numbers stand in parentheses.
func (t term) text() string {
	text := operand(t.price)
	if t.words != "" {
		text = "(" + t.words + ")"
	}
	if !t.once {
		text = operand(t.units) + " × " + text
	}
	if t.percent {
		text += "%"
	}
	if t.of > 0 {
		text += fmt.Sprintf(" × %d / %d", t.left, t.of)
	}
	if !t.exchange.IsZero() {
		text += " × " + t.exchange.String()
	}
	return text
}

func operand(d money.Decimal) string {
	if d.Sign() < 0 {
		return "(" + d.String() + ")"
	}
	return d.String()
}

// Explain gives the arithmetic behind LineTotal of the same segments, in the same order.
func Explain(segments []Segment) Explanation {
	parts, err := partsOf(segments)
	if err != nil {
		return Explanation{Err: err}
	}
	e := Explanation{Segments: make([]SegmentExplanation, 0, len(segments))}
	var all equation
	for i := range parts {
		p := &parts[i]
		if e.Amount, err = e.Amount.Add(p.amount); err != nil {
			return Explanation{Err: fmt.Errorf("explain rate %s: %w", p.rate.ID, err)}
		}
		all.write(p.plus, p.minus)
		var own equation
		own.write(p.plus, p.minus)
		e.Segments = append(e.Segments, SegmentExplanation{
			RateID:   p.rate.ID,
			Cell:     p.cell,
			Quantity: p.used,
			Note:     p.note,
			Tiers:    tiersOf(p),
			Steps:    steps(p.plus, p.minus, p.amount),
			Equation: own.is(p.amount),
			Amount:   p.amount,
		})
	}
	e.Equation = all.is(e.Amount)
	return e
}

// part is the arithmetic of one segment, or of what a matrix's maximum takes off: what adds to the amount, and what was priced before.
type part struct {
	rate        *catalog.Rate
	cell        string
	outer       bool // what a matrix's maximum takes off
	used        money.Decimal
	note        string
	plus, minus []term
	amount      money.Decimal
}

// partsOf takes the segments of a line apart; their amounts add up to LineTotal.
func partsOf(segments []Segment) ([]part, error) {
	if len(segments) > 0 && segments[0].Rate.Model == catalog.ModelCapacity {
		return partOfCapacity(segments)
	}
	parts := make([]part, 0, len(segments))
	w := walk{segments: segments}
	for i := range segments {
		s := &segments[i]
		p := part{rate: s.Rate, cell: s.Cell}
		err := w.to(i)
		if err == nil {
			p.amount, err = w.amount()
		}
		if err == nil {
			p.used, err = aggregated(s.Rate, &s.State)
		}
		if err != nil {
			return nil, fmt.Errorf("explain rate %s: %w", s.Rate.ID, err)
		}
		p.plus, p.minus = difference(exchanged(termsOf(s.Rate, w.after, s.Line), s), exchanged(termsOf(s.Rate, w.before, s.Line), s))
		p.note = note(s, &w.before, &w.after)
		if s.Exchange.Used() {
			p.note = strings.TrimPrefix(p.note+"; ", "; ") +
				fmt.Sprintf("prices in %s, turned into the line's currency at %s, the exchange rate of %s", s.Rate.Currency, s.Exchange.Rate, s.Exchange.Date)
		}
		parts = append(parts, p)
	}
	for i := range segments {
		r := segments[i].Rate.Outer
		if r == nil || r.Maximum.Sign() <= 0 {
			continue
		}
		above, err := aboveMaximum(segments, i)
		if err != nil {
			return nil, fmt.Errorf("explain rate %s: %w", r.ID, err)
		}
		if !above.IsZero() {
			off := fixed("above the maximum of "+r.Maximum.String(), above.Neg())
			parts = append(parts, part{rate: r, outer: true, plus: []term{off}, amount: above.Neg()})
		}
	}
	return parts, nil
}

// exchanged turns terms into the line's currency.
func exchanged(terms []term, s *Segment) []term {
	for i := range terms {
		terms[i].exchange = s.Exchange.Rate
	}
	return terms
}

// termsOf expects a rate and a state that have a price.
func termsOf(r *catalog.Rate, s State, line *own.Line) []term {
	if s.empty() {
		return nil
	}
	if r.Maximum.Sign() > 0 {
		if total, err := uncapped(r, &s, line); err == nil && total.Cmp(r.Maximum) > 0 {
			return []term{fixed("maximum", r.Maximum)}
		}
	}
	m := methodOf(r)
	switch {
	case m.stateTerms != nil:
		return m.stateTerms(r, s)
	case m.lineTerms != nil:
		return m.lineTerms(r, s, line)
	}
	q, err := billable(r, &s)
	if err != nil {
		return nil
	}
	return m.terms(r, q)
}

// difference cancels what both sides have: units of the same tier at the same price are counted
// once, by how much they grew.
func difference(after, before []term) (plus, minus []term) {
	for _, b := range before {
		matched := false
		for i := range after {
			a := &after[i]
			if a.label != b.label || a.price != b.price || a.once != b.once || a.percent != b.percent || a.left != b.left || a.of != b.of || a.exchange != b.exchange {
				continue
			}
			if units, err := a.units.Sub(b.units); err == nil {
				a.units, matched = units, true
			}
			break
		}
		if !matched {
			minus = append(minus, b)
		}
	}
	for _, a := range after {
		if !a.units.IsZero() || len(before) == 0 {
			plus = append(plus, a)
		}
	}
	return plus, minus
}

// steps lists the terms with their amounts, and what rounding at the 12th decimal left.
func steps(plus, minus []term, amount money.Decimal) []Step {
	list := make([]Step, 0, len(plus)+len(minus)+1)
	rest := amount
	for i, t := range append(plus[:len(plus):len(plus)], minus...) {
		product, err := t.amount()
		if err != nil {
			continue // one term out of range, their sum in range: it shows in what is left
		}
		step := Step{Text: t.text(), Label: t.label, Amount: product}
		if i >= len(plus) {
			step.Text, step.Amount = "- "+step.Text, product.Neg()
			step.Label = "priced before: " + step.Label
		}
		list = append(list, step)
		if left, err := rest.Sub(step.Amount); err == nil {
			rest = left
		}
	}
	if !rest.IsZero() {
		list = append(list, Step{Text: rest.String(), Label: "rounding at the 12th decimal", Amount: rest})
	}
	return list
}

// exactly is the terms of an equation; those to be taken off have their units negated.
type exactly []term

func (e *exactly) add(t term, sign int) {
	if sign < 0 {
		t.units = t.units.Neg()
	}
	*e = append(*e, t)
}

// equal says whether the terms sum to the amount, to the last digit: both sides times a hundred and the days of the periods.
func (e exactly) equal(amount money.Decimal) bool {
	const most = 1_000_000 // of three lengths of periods that have no common measure, which no line has
	n := int64(100)
	for _, t := range e {
		if t.of > 0 && n%t.of != 0 && n < most {
			n *= t.of
		}
	}
	var sum money.Wide
	sum.SubProduct(amount, money.FromInt(n))
	for _, t := range e {
		if !t.exchange.IsZero() { // the amount before, which must be exact, times the exchange
			plain := t
			plain.exchange = money.Decimal{}
			amount, err := plain.amount()
			if err != nil || !(exactly{plain}).equal(amount) {
				return false
			}
			t = term{units: amount, price: t.exchange}
		}
		times := n
		switch {
		case t.percent:
			times /= 100
		case t.of > 0 && n%t.of != 0:
			return false
		case t.of > 0:
			times = n / t.of * t.left
		}
		units, err := t.units.Mul(money.FromInt(times))
		if err != nil {
			return false
		}
		sum.AddProduct(units, t.price)
	}
	return sum.IsZero()
}

// equation is written term by term.
type equation struct {
	text  strings.Builder
	terms exactly
}

// write appends terms that add and terms to be taken off.
func (e *equation) write(plus, minus []term) {
	for _, t := range plus {
		if e.text.Len() > 0 {
			e.text.WriteString(" + ")
		}
		e.text.WriteString(t.text())
		e.terms.add(t, 1)
	}
	for _, t := range minus {
		if e.text.Len() > 0 {
			e.text.WriteString(" - ")
		} else {
			e.text.WriteString("0 - ")
		}
		e.text.WriteString(t.text())
		e.terms.add(t, -1)
	}
}

// left is the side that is worked out.
func (e *equation) left() string {
	if e.text.Len() == 0 {
		return "0"
	}
	return e.text.String()
}

// is completes the equation: ≈ where rounding at the 12th decimal shows.
func (e *equation) is(amount money.Decimal) string {
	if e.terms.equal(amount) {
		return e.left() + " = " + amount.String()
	}
	return e.left() + " ≈ " + amount.String()
}

// note says in words what the numbers alone do not show.
func note(s *Segment, before, after *State) string {
	var parts []string
	r := s.Rate
	rounding := &r.Rounding
	if a := aggregationOf(r); a.words != "" {
		parts = append(parts, a.words)
		if a.kind == kindTimeWeighted && !after.Peak.IsZero() {
			parts = append(parts, fmt.Sprintf("it goes on from %s", after.Peak))
		}
	}
	if rounding.PerEvent && rounding.Mode != money.RoundNone {
		parts = append(parts, "each event rounded "+roundingWords(rounding))
	}
	if rounding.Next.Sign() > 0 {
		parts = append(parts, fmt.Sprintf("each event billed as at least %s, then in steps of %s", rounding.First, rounding.Next))
	}
	if !rounding.PerEvent && rounding.Mode != money.RoundNone {
		raw, _ := aggregated(r, after)
		if q, err := Quantity(r, *after); err == nil {
			parts = append(parts, fmt.Sprintf("%s rounded %s: %s", raw, roundingWords(rounding), q))
		}
	}
	if r.ProrateByDay {
		parts = append(parts, "units count from their day to the end of the period")
	}
	if r.Included.Sign() > 0 {
		if q, err := billable(r, after); err == nil {
			parts = append(parts, fmt.Sprintf("%s included: %s charged for", r.Included, q))
		}
	}
	if r.Maximum.Sign() > 0 && !after.empty() {
		if total, err := uncapped(r, after, s.Line); err == nil && total.Cmp(r.Maximum) > 0 {
			parts = append(parts, fmt.Sprintf("%s without the maximum", total))
		}
	}
	if !before.empty() {
		used, _ := aggregated(r, before)
		parts = append(parts, fmt.Sprintf("continues from %s used before", used))
	}
	if r.TiersRestart {
		parts = append(parts, "tiers start anew with this rate")
	}
	return strings.Join(parts, "; ")
}

func roundingWords(r *catalog.Rounding) string {
	words := map[money.RoundingMode]string{
		money.RoundHalfUp: "half up", money.RoundHalfEven: "half to even", money.RoundCeil: "up", money.RoundFloor: "down",
	}[r.Mode]
	switch {
	case r.Precision > 0:
		return fmt.Sprintf("%s to %d decimals", words, r.Precision)
	case r.Precision < 0:
		return words + " to multiples of 1" + strings.Repeat("0", min(-r.Precision, 26))
	}
	return words + " to whole units"
}
