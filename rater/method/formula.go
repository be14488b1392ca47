package method

import (
	"errors"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/ledger/money/expression"
)

// Formula makes the price of an [expression.Language] in the syntax of CEL over exact decimals, with the names quantity, events and days.
// What overflows or divides by zero rejects the event. days is how many the billing period has, see [Line]; the values by which the product is
// grouped are texts, group.region or group["call type"], which == and != compare with others. There are no floats, no loops and no other types.
// The error says what is wrong and where in the expression.
func Formula(source string) (Price, error) {
	f := &formula{source: source}
	n, err := expression.Compile(source, &expression.Language[Usage]{Called: "a formula", Known: known, Name: f.name, Member: f.member})
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // says where it is
	case n.Truth != nil:
		return nil, errors.New("gives true or false, not an amount: use condition ? amount : other")
	case n.Number == nil:
		return nil, errors.New("gives a text, not an amount: use condition ? amount : other")
	}
	f.number, f.write = n.Number, n.Write
	return f, nil
}

// formula is a compiled expression.
type formula struct {
	number func(u Usage) (money.Decimal, error)
	write  expression.Writer[Usage]
	source string
	needs  Needs
}

// Total implements Price.
func (f *formula) Total(u Usage) (money.Decimal, error) { return f.number(u) }

// Terms implements Price: one, the expression with the numbers in it.
func (f *formula) Terms(u Usage) []Term {
	total, err := f.number(u)
	if err != nil {
		return nil
	}
	var text strings.Builder
	f.write(&text, u, 0)
	return []Term{{Label: "formula: " + f.source, Text: text.String(), Amount: total}}
}

const known = "known are quantity, events, days, group.NAME, numbers, texts to compare with, + - * /, comparisons, && || !, ? :, min, max, ceil, floor and round"

var errNoDays = errors.New("the billing period has no end, so that it has no number of days")

// groups is how a formula calls what the product is grouped by.
const groups = "group"

func (f *formula) name(name string) (n expression.Node[Usage], message string, ok bool) {
	switch name {
	case "quantity":
		return expression.Number(func(u Usage) money.Decimal { return u.Quantity }), "", true
	case "events":
		return expression.Number(func(u Usage) money.Decimal { return money.FromInt(u.Events) }), "", true
	case "days":
		return f.days(), "", true
	case groups:
		return n, "group needs the name of an attribute: write group.NAME, or group[\"NAME\"] where the name is no word", true
	}
	return n, "", false
}

// days is how many the billing period has.
func (f *formula) days() expression.Node[Usage] {
	f.needs.Days = true
	n := expression.Number(func(u Usage) money.Decimal { return money.FromInt(u.Line.PeriodDays()) })
	count := n.Number
	n.Number = func(u Usage) (money.Decimal, error) {
		if u.Line.PeriodDays() == 0 {
			return money.Decimal{}, errNoDays
		}
		return count(u)
	}
	return n
}

// member is the value of an attribute.
func (f *formula) member(of, name string, number int) (n expression.Node[Usage], message string, ok bool) {
	if of != groups || number != 0 {
		return n, "", false
	}
	if !slices.Contains(f.needs.Group, name) {
		f.needs.Group = append(f.needs.Group, name)
	}
	return expression.Text(func(u Usage) string { return u.Line.Value(name) }), "", true
}
