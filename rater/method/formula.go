package method

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"

	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of a formula, so that a price costs no more than so many steps.
const (
	maxFormula = 1000 // code points
	maxSteps   = 200
	maxDepth   = 40
)

// Formula makes the price of an expression in the syntax of CEL over exact decimals: numbers, quantity, events and days, + - * / and the sign,
// comparisons, && || !, condition ? a : b, min(a, b, …), max(a, b, …), ceil(a), floor(a), round(a) and these with a number of decimals:
// round(a, 2), where a half goes away from zero. Each product and quotient is rounded half away from zero at the 12th decimal; what
// overflows or divides by zero rejects the event. days is how many the billing period has, see [Line]; the values by which the product is
// grouped are texts, group.region or group["call type"], which == and != compare with others. There are no floats, no loops and no other types.
// The error says what is wrong and where in the expression.
func Formula(expression string) (Price, error) {
	p, err := parser.NewParser(
		parser.MaxRecursionDepth(maxDepth), parser.ExpressionSizeCodePointLimit(maxFormula), parser.ErrorRecoveryLimit(1), parser.Macros(),
	)
	if err != nil {
		return nil, fmt.Errorf("make a parser: %w", err)
	}
	tree, problems := p.Parse(common.NewTextSource(expression))
	if list := problems.GetErrors(); len(list) > 0 {
		return nil, fmt.Errorf("cannot be read at character %d: %s", list[0].Location.Column()+1, strings.ToValidUTF8(list[0].Message, "?"))
	}
	c := compiler{source: []rune(expression), info: tree.SourceInfo()}
	n, err := c.compile(tree.Expr())
	if err != nil {
		return nil, err
	}
	if n.truth != nil {
		return nil, fmt.Errorf("gives true or false, not an amount: use condition ? amount : other")
	}
	if n.number == nil {
		return nil, fmt.Errorf("gives a text, not an amount: use condition ? amount : other")
	}
	return &formula{number: n.number, write: n.write, expression: expression, needs: c.needs}, nil
}

// formula is a compiled expression.
type formula struct {
	number     number
	write      write
	expression string
	needs      Needs
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
	return []Term{{Label: "formula: " + f.expression, Text: text.String(), Amount: total}}
}

type (
	number func(u Usage) (money.Decimal, error)
	truth  func(u Usage) (bool, error)
	text   func(u Usage) string
	write  func(b *strings.Builder, u Usage, binds int) // binds: how strongly what is around binds
)

// node is a part of an expression: a number, a truth or a text.
type node struct {
	number number
	truth  truth
	text   text
	write  write
	fixed  *money.Decimal // of a literal
}

type compiler struct {
	source []rune
	info   *ast.SourceInfo
	steps  int
	needs  Needs
}

func (c *compiler) fail(e ast.Expr, format string, args ...any) error {
	return fmt.Errorf("at character %d: %s", c.info.GetStartLocation(e.ID()).Column()+1, fmt.Sprintf(format, args...))
}

const known = "known are quantity, events, days, group.NAME, numbers, texts to compare with, + - * /, comparisons, && || !, ? :, min, max, ceil, floor and round"

var errNoDays = errors.New("the billing period has no end, so that it has no number of days")

func (c *compiler) compile(e ast.Expr) (node, error) {
	if c.steps++; c.steps > maxSteps {
		return node{}, c.fail(e, "the formula has more than %d parts: shorten it", maxSteps)
	}
	switch e.Kind() {
	case ast.LiteralKind:
		return c.literal(e)
	case ast.IdentKind:
		switch e.AsIdent() {
		case "quantity":
			return variable(func(u Usage) money.Decimal { return u.Quantity }), nil
		case "events":
			return variable(func(u Usage) money.Decimal { return money.FromInt(u.Events) }), nil
		case "days":
			return c.days(), nil
		case groups:
			return node{}, c.fail(e, "group needs the name of an attribute: write group.NAME, or group[\"NAME\"] where the name is no word")
		}
		return node{}, c.fail(e, "%q is not known: %s", e.AsIdent(), known)
	case ast.CallKind:
		return c.call(e)
	case ast.SelectKind:
		if s := e.AsSelect(); isGroup(s.Operand()) && !s.IsTestOnly() {
			return c.group(s.FieldName()), nil
		}
	}
	return node{}, c.fail(e, "this is no part of a formula: %s", known)
}

func variable(of func(u Usage) money.Decimal) node {
	return node{
		number: func(u Usage) (money.Decimal, error) { return of(u), nil },
		write:  func(b *strings.Builder, u Usage, _ int) { writeNumber(b, of(u)) },
	}
}

// days is how many the billing period has.
func (c *compiler) days() node {
	c.needs.Days = true
	n := variable(func(u Usage) money.Decimal { return money.FromInt(u.Line.PeriodDays()) })
	count := n.number
	n.number = func(u Usage) (money.Decimal, error) {
		if u.Line.PeriodDays() == 0 {
			return money.Decimal{}, errNoDays
		}
		return count(u)
	}
	return n
}

// groups is how a formula calls what the product is grouped by.
const groups = "group"

func isGroup(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == groups }

// group is the value of an attribute.
func (c *compiler) group(name string) node {
	if !slices.Contains(c.needs.Group, name) {
		c.needs.Group = append(c.needs.Group, name)
	}
	return textual(func(u Usage) string { return u.Line.Value(name) })
}

func textual(of text) node {
	return node{text: of, write: func(b *strings.Builder, u Usage, _ int) { fmt.Fprintf(b, "%q", of(u)) }}
}

// index is group["a name"].
func (c *compiler) index(e ast.Expr) (node, error) {
	args := e.AsCall().Args()
	if isGroup(args[0]) && args[1].Kind() == ast.LiteralKind {
		if name, ok := args[1].AsLiteral().(types.String); ok {
			return c.group(string(name)), nil
		}
	}
	return node{}, c.fail(e, "this is no part of a formula: %s", known)
}

func writeNumber(b *strings.Builder, d money.Decimal) {
	if d.Sign() < 0 {
		b.WriteString("(" + d.String() + ")")
		return
	}
	b.WriteString(d.String())
}

// literal reads a number from the source, where it is exact.
func (c *compiler) literal(e ast.Expr) (node, error) {
	negative := false
	switch v := e.AsLiteral().(type) {
	case types.Bool:
		return node{truth: func(Usage) (bool, error) { return bool(v), nil }, write: func(b *strings.Builder, _ Usage, _ int) { fmt.Fprint(b, bool(v)) }}, nil
	case types.String:
		return textual(func(Usage) string { return string(v) }), nil
	case types.Int:
		negative = v < 0
	case types.Double:
		negative = v < 0 //nolint:forbidigo // only its sign
	default:
		return node{}, c.fail(e, "this is no number: %s", known)
	}
	at, _ := c.info.GetOffsetRange(e.ID())
	text := strings.TrimSpace(strings.TrimPrefix(string(c.source[min(int(at.Start), len(c.source)):]), "-"))
	end := 0
	for end < len(text) && (strings.ContainsRune("0123456789.eE", rune(text[end])) || end > 0 && strings.ContainsRune("eE", rune(text[end-1])) && (text[end] == '+' || text[end] == '-')) {
		end++
	}
	d, err := money.Parse(text[:end])
	if err != nil || !d.WithinLimit() || end < len(text) && (text[end] == 'x' || text[end] == 'u') {
		return node{}, c.fail(e, "the number must be a decimal with at most 12 decimals, up to 10^15")
	}
	if negative {
		d = d.Neg()
	}
	n := variable(func(Usage) money.Decimal { return d })
	n.fixed = &d
	return n, nil
}

// How strongly operators bind, weakest first.
const (
	bindsCondition = 1 + iota
	bindsOr
	bindsAnd
	bindsCompare
	bindsAdd
	bindsMultiply
	bindsSign
)

func (c *compiler) call(e ast.Expr) (node, error) {
	call := e.AsCall()
	if call.IsMemberFunction() {
		return node{}, c.fail(e, "there are no functions of a value: %s", known)
	}
	if call.FunctionName() == operators.Index {
		return c.index(e)
	}
	args := make([]node, 0, len(call.Args()))
	for _, a := range call.Args() {
		n, err := c.compile(a)
		if err != nil {
			return node{}, err
		}
		args = append(args, n)
	}
	switch name := call.FunctionName(); name {
	case operators.Conditional:
		return c.conditional(e, args)
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		return c.logical(e, name, args)
	case operators.Negate:
		return c.negate(e, args[0])
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
		return c.arithmetic(e, name, args)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.Equals, operators.NotEquals:
		return c.comparison(e, name, args)
	case "min", "max":
		return c.extreme(e, name, args)
	case "ceil", "floor", "round":
		return c.rounding(e, name, args)
	default:
		return node{}, c.fail(e, "%q is not known: %s", strings.Trim(name, "_"), known)
	}
}

func (c *compiler) numbers(e ast.Expr, args []node) error {
	for i, a := range args {
		if a.truth != nil {
			return c.fail(e.AsCall().Args()[i], "this is true or false where a number is needed")
		}
		if a.text != nil {
			return c.fail(e.AsCall().Args()[i], "this is a text where a number is needed: compare it with == or !=")
		}
	}
	return nil
}

func (c *compiler) truths(e ast.Expr, args []node) error {
	for i, a := range args {
		if a.truth == nil {
			what := "a number"
			if a.text != nil {
				what = "a text"
			}
			return c.fail(e.AsCall().Args()[i], "this is %s where true or false is needed: compare it", what)
		}
	}
	return nil
}

// infix writes an operator between its operands, in parentheses where what is around binds as strongly or more.
func infix(sign string, own int, left, right write) write {
	return func(b *strings.Builder, u Usage, around int) {
		if around >= own {
			b.WriteByte('(')
			defer b.WriteByte(')')
		}
		left(b, u, own-1)
		b.WriteString(" " + sign + " ")
		right(b, u, own)
	}
}

func (c *compiler) arithmetic(e ast.Expr, name string, args []node) (node, error) {
	if err := c.numbers(e, args); err != nil {
		return node{}, err
	}
	x, y := args[0].number, args[1].number
	var of func(a, b money.Decimal) (money.Decimal, error)
	sign, own := "+", bindsAdd
	switch name {
	case operators.Add:
		of = money.Decimal.Add
	case operators.Subtract:
		sign, of = "-", money.Decimal.Sub
	case operators.Multiply:
		sign, own, of = "×", bindsMultiply, money.Decimal.Mul
	default:
		sign, own, of = "÷", bindsMultiply, money.Decimal.Div
		if args[1].fixed != nil && args[1].fixed.IsZero() {
			return node{}, c.fail(e, "this divides by zero")
		}
	}
	return node{
		number: func(u Usage) (money.Decimal, error) {
			a, err := x(u)
			if err != nil {
				return a, err
			}
			b, err := y(u)
			if err != nil {
				return b, err
			}
			return of(a, b)
		},
		write: infix(sign, own, args[0].write, args[1].write),
	}, nil
}

func (c *compiler) negate(e ast.Expr, a node) (node, error) {
	if err := c.numbers(e, []node{a}); err != nil {
		return node{}, err
	}
	return node{
		number: func(u Usage) (money.Decimal, error) {
			d, err := a.number(u)
			return d.Neg(), err
		},
		write: func(b *strings.Builder, u Usage, _ int) {
			b.WriteByte('-')
			a.write(b, u, bindsSign)
		},
	}, nil
}

func (c *compiler) comparison(e ast.Expr, name string, args []node) (node, error) {
	if (name == operators.Equals || name == operators.NotEquals) && (args[0].text != nil || args[1].text != nil) {
		return c.sameText(e, name == operators.Equals, args)
	}
	if err := c.numbers(e, args); err != nil {
		return node{}, err
	}
	x, y := args[0].number, args[1].number
	var holds func(order int) bool
	sign := ""
	switch name {
	case operators.Less:
		sign, holds = "<", func(o int) bool { return o < 0 }
	case operators.LessEquals:
		sign, holds = "≤", func(o int) bool { return o <= 0 }
	case operators.Greater:
		sign, holds = ">", func(o int) bool { return o > 0 }
	case operators.GreaterEquals:
		sign, holds = "≥", func(o int) bool { return o >= 0 }
	case operators.Equals:
		sign, holds = "=", func(o int) bool { return o == 0 }
	default:
		sign, holds = "≠", func(o int) bool { return o != 0 }
	}
	return node{
		truth: func(u Usage) (bool, error) {
			a, err := x(u)
			if err != nil {
				return false, err
			}
			b, err := y(u)
			return err == nil && holds(a.Cmp(b)), err
		},
		write: infix(sign, bindsCompare, args[0].write, args[1].write),
	}, nil
}

// sameText compares texts, byte by byte.
func (c *compiler) sameText(e ast.Expr, same bool, args []node) (node, error) {
	x, y := args[0].text, args[1].text
	if x == nil || y == nil {
		return node{}, c.fail(e, "one side of the comparison is a text, the other is none: write the text in quotes")
	}
	sign := "="
	if !same {
		sign = "≠"
	}
	return node{
		truth: func(u Usage) (bool, error) { return (x(u) == y(u)) == same, nil },
		write: infix(sign, bindsCompare, args[0].write, args[1].write),
	}, nil
}

func (c *compiler) logical(e ast.Expr, name string, args []node) (node, error) {
	if err := c.truths(e, args); err != nil {
		return node{}, err
	}
	x := args[0]
	if name == operators.LogicalNot {
		return node{truth: func(u Usage) (bool, error) {
			v, err := x.truth(u)
			return !v, err
		}, write: func(b *strings.Builder, u Usage, _ int) {
			b.WriteByte('!')
			x.write(b, u, bindsSign)
		}}, nil
	}
	y, ends, sign, own := args[1], true, "or", bindsOr
	if name == operators.LogicalAnd {
		ends, sign, own = false, "and", bindsAnd
	}
	return node{truth: func(u Usage) (bool, error) {
		if v, err := x.truth(u); err != nil || v == ends {
			return v, err
		}
		return y.truth(u)
	}, write: infix(sign, own, x.write, y.write)}, nil
}

// conditional works out one of its sides, and writes that alone.
func (c *compiler) conditional(e ast.Expr, args []node) (node, error) {
	if err := c.truths(e, args[:1]); err != nil {
		return node{}, err
	}
	if args[1].text != nil || args[2].text != nil {
		return node{}, c.fail(e, "one side of the condition is a text: compare it with == or !=")
	}
	if (args[1].number == nil) != (args[2].number == nil) {
		return node{}, c.fail(e, "one side of the condition is a number, the other true or false")
	}
	choose := func(u Usage) (*node, error) {
		first, err := args[0].truth(u)
		if first {
			return &args[1], err
		}
		return &args[2], err
	}
	n := node{write: func(b *strings.Builder, u Usage, around int) {
		if side, err := choose(u); err == nil {
			side.write(b, u, around)
		}
	}}
	if args[1].number == nil {
		n.truth = func(u Usage) (bool, error) {
			side, err := choose(u)
			if err != nil {
				return false, err
			}
			return side.truth(u)
		}
		return n, nil
	}
	n.number = func(u Usage) (money.Decimal, error) {
		side, err := choose(u)
		if err != nil {
			return money.Decimal{}, err
		}
		return side.number(u)
	}
	return n, nil
}

// function writes a name and its arguments.
func function(name string, args []node) write {
	return func(b *strings.Builder, u Usage, _ int) {
		b.WriteString(name + "(")
		for i := range args {
			if i > 0 {
				b.WriteString(", ")
			}
			args[i].write(b, u, 0)
		}
		b.WriteByte(')')
	}
}

func (c *compiler) extreme(e ast.Expr, name string, args []node) (node, error) {
	if err := c.numbers(e, args); err != nil {
		return node{}, err
	}
	if len(args) < 2 {
		return node{}, c.fail(e, "%s needs two numbers or more", name)
	}
	better := 1
	if name == "min" {
		better = -1
	}
	return node{number: func(u Usage) (money.Decimal, error) {
		best, err := args[0].number(u)
		for i := 1; i < len(args) && err == nil; i++ {
			var d money.Decimal
			if d, err = args[i].number(u); err == nil && d.Cmp(best) == better {
				best = d
			}
		}
		return best, err
	}, write: function(name, args)}, nil
}

func (c *compiler) rounding(e ast.Expr, name string, args []node) (node, error) {
	if err := c.numbers(e, args); err != nil {
		return node{}, err
	}
	mode := map[string]money.RoundingMode{"ceil": money.RoundCeil, "floor": money.RoundFloor, "round": money.RoundHalfUp}[name]
	places := 0
	switch len(args) {
	case 1:
	case 2:
		d := args[1].fixed
		for places = -15; places <= money.Scale && (d == nil || *d != money.FromInt(int64(places))); places++ {
		}
		if places > money.Scale {
			return node{}, c.fail(e, "the second number of %s says how many decimals are kept: write a whole number from -15 to %d", name, money.Scale)
		}
	default:
		return node{}, c.fail(e, "%s needs a number, and how many decimals of it are kept if any", name)
	}
	x := args[0].number
	return node{number: func(u Usage) (money.Decimal, error) {
		d, err := x(u)
		if err != nil {
			return d, err
		}
		return d.Round(places, mode)
	}, write: function(name, args)}, nil
}
