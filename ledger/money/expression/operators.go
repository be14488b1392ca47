package expression

import (
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"github.com/tollstream/tollstream/ledger/money"
)

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

func (c *compiler[In]) numbers(e ast.Expr, args []Node[In]) error {
	for i, a := range args {
		if a.Truth != nil {
			return c.fail(e.AsCall().Args()[i], "this is true or false where a number is needed")
		}
		if a.Text != nil {
			advice := "compare it with == or !="
			if c.language.Parse != nil {
				advice = "decimal(text) reads one"
			}
			return c.fail(e.AsCall().Args()[i], "this is a text where a number is needed: %s", advice)
		}
	}
	return nil
}

func (c *compiler[In]) truths(e ast.Expr, args []Node[In]) error {
	for i, a := range args {
		if a.Truth == nil {
			what := "a number"
			if a.Text != nil {
				what = "a text"
			}
			return c.fail(e.AsCall().Args()[i], "this is %s where true or false is needed: compare it", what)
		}
	}
	return nil
}

// infix writes an operator between its operands, in parentheses where what is around binds as strongly or more.
func infix[In any](sign string, own int, left, right Writer[In]) Writer[In] {
	return func(b *strings.Builder, in In, around int) {
		if around >= own {
			b.WriteByte('(')
			defer b.WriteByte(')')
		}
		left(b, in, own-1)
		b.WriteString(" " + sign + " ")
		right(b, in, own)
	}
}

func (c *compiler[In]) arithmetic(e ast.Expr, name string, args []Node[In]) (Node[In], error) {
	if err := c.numbers(e, args); err != nil {
		return Node[In]{}, err
	}
	x, y := args[0].Number, args[1].Number
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
			return Node[In]{}, c.fail(e, "this divides by zero")
		}
	}
	return Node[In]{
		Number: func(in In) (money.Decimal, error) {
			a, err := x(in)
			if err != nil {
				return a, err
			}
			b, err := y(in)
			if err != nil {
				return b, err
			}
			return of(a, b)
		},
		Write: infix(sign, own, args[0].Write, args[1].Write),
	}, nil
}

func (c *compiler[In]) negate(e ast.Expr, a Node[In]) (Node[In], error) {
	if err := c.numbers(e, []Node[In]{a}); err != nil {
		return Node[In]{}, err
	}
	return Node[In]{
		Number: func(in In) (money.Decimal, error) {
			d, err := a.Number(in)
			return d.Neg(), err
		},
		Write: func(b *strings.Builder, in In, _ int) {
			b.WriteByte('-')
			a.Write(b, in, bindsSign)
		},
	}, nil
}

func (c *compiler[In]) comparison(e ast.Expr, name string, args []Node[In]) (Node[In], error) {
	if (name == operators.Equals || name == operators.NotEquals) && (args[0].Text != nil || args[1].Text != nil) {
		return c.sameText(e, name == operators.Equals, args)
	}
	if err := c.numbers(e, args); err != nil {
		return Node[In]{}, err
	}
	x, y := args[0].Number, args[1].Number
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
	return Node[In]{
		Truth: func(in In) (bool, error) {
			a, err := x(in)
			if err != nil {
				return false, err
			}
			b, err := y(in)
			return err == nil && holds(a.Cmp(b)), err
		},
		Write: infix(sign, bindsCompare, args[0].Write, args[1].Write),
	}, nil
}

// sameText compares texts, byte by byte.
func (c *compiler[In]) sameText(e ast.Expr, same bool, args []Node[In]) (Node[In], error) {
	x, y := args[0].Text, args[1].Text
	if x == nil || y == nil {
		return Node[In]{}, c.fail(e, "one side of the comparison is a text, the other is none: write the text in quotes")
	}
	sign := "="
	if !same {
		sign = "≠"
	}
	return Node[In]{
		Truth: func(in In) (bool, error) {
			a, err := x(in)
			if err != nil {
				return false, err
			}
			b, err := y(in)
			return (a == b) == same, err
		},
		Write: infix(sign, bindsCompare, args[0].Write, args[1].Write),
	}, nil
}

func (c *compiler[In]) logical(e ast.Expr, name string, args []Node[In]) (Node[In], error) {
	if err := c.truths(e, args); err != nil {
		return Node[In]{}, err
	}
	x := args[0]
	if name == operators.LogicalNot {
		return Node[In]{Truth: func(in In) (bool, error) {
			v, err := x.Truth(in)
			return !v, err
		}, Write: func(b *strings.Builder, in In, _ int) {
			b.WriteByte('!')
			x.Write(b, in, bindsSign)
		}}, nil
	}
	y, ends, sign, own := args[1], true, "or", bindsOr
	if name == operators.LogicalAnd {
		ends, sign, own = false, "and", bindsAnd
	}
	return Node[In]{Truth: func(in In) (bool, error) {
		if v, err := x.Truth(in); err != nil || v == ends {
			return v, err
		}
		return y.Truth(in)
	}, Write: infix(sign, own, x.Write, y.Write)}, nil
}

// conditional works out one of its sides, and writes that alone.
func (c *compiler[In]) conditional(e ast.Expr, args []Node[In]) (Node[In], error) {
	if err := c.truths(e, args[:1]); err != nil {
		return Node[In]{}, err
	}
	texts := args[1].Text != nil && args[2].Text != nil && c.language.Parse != nil
	if !texts && (args[1].Text != nil || args[2].Text != nil) {
		return Node[In]{}, c.fail(e, "one side of the condition is a text: compare it with == or !=")
	}
	if (args[1].Number == nil) != (args[2].Number == nil) {
		return Node[In]{}, c.fail(e, "one side of the condition is a number, the other true or false")
	}
	choose := func(in In) (*Node[In], error) {
		first, err := args[0].Truth(in)
		if first {
			return &args[1], err
		}
		return &args[2], err
	}
	n := Node[In]{Write: func(b *strings.Builder, in In, around int) {
		if side, err := choose(in); err == nil {
			side.Write(b, in, around)
		}
	}}
	switch {
	case texts:
		n.Text = func(in In) (string, error) {
			side, err := choose(in)
			if err != nil {
				return "", err
			}
			return side.Text(in)
		}
		return n, nil
	case args[1].Number == nil:
		n.Truth = func(in In) (bool, error) {
			side, err := choose(in)
			if err != nil {
				return false, err
			}
			return side.Truth(in)
		}
		return n, nil
	}
	n.Number = func(in In) (money.Decimal, error) {
		side, err := choose(in)
		if err != nil {
			return money.Decimal{}, err
		}
		return side.Number(in)
	}
	return n, nil
}

// function writes a name and its arguments.
func function[In any](name string, args []Node[In]) Writer[In] {
	return func(b *strings.Builder, in In, _ int) {
		b.WriteString(name + "(")
		for i := range args {
			if i > 0 {
				b.WriteString(", ")
			}
			args[i].Write(b, in, 0)
		}
		b.WriteByte(')')
	}
}

func (c *compiler[In]) extreme(e ast.Expr, name string, args []Node[In]) (Node[In], error) {
	if err := c.numbers(e, args); err != nil {
		return Node[In]{}, err
	}
	if len(args) < 2 {
		return Node[In]{}, c.fail(e, "%s needs two numbers or more", name)
	}
	better := 1
	if name == "min" {
		better = -1
	}
	return Node[In]{Number: func(in In) (money.Decimal, error) {
		best, err := args[0].Number(in)
		for i := 1; i < len(args) && err == nil; i++ {
			var d money.Decimal
			if d, err = args[i].Number(in); err == nil && d.Cmp(best) == better {
				best = d
			}
		}
		return best, err
	}, Write: function(name, args)}, nil
}

func (c *compiler[In]) rounding(e ast.Expr, name string, args []Node[In]) (Node[In], error) {
	if err := c.numbers(e, args); err != nil {
		return Node[In]{}, err
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
			return Node[In]{}, c.fail(e, "the second number of %s says how many decimals are kept: write a whole number from -15 to %d", name, money.Scale)
		}
	default:
		return Node[In]{}, c.fail(e, "%s needs a number, and how many decimals of it are kept if any", name)
	}
	x := args[0].Number
	return Node[In]{Number: func(in In) (money.Decimal, error) {
		d, err := x(in)
		if err != nil {
			return d, err
		}
		return d.Round(places, mode)
	}, Write: function(name, args)}, nil
}
