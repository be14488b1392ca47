// Package expression compiles expressions in the syntax of CEL over exact decimals: formulas of prices, and mappings of records. Which
// names an expression may use is its language's.
//
// It imports ledger/money and the parser. Invariants: there are no floats and no loops; the cost of an expression is bounded, by its parts
// and by the length of the texts that it makes; the same input always gives the same result; what is compiled may be used by many goroutines at once.
package expression

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/parser"

	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of an expression, so that it costs no more than so many steps.
const (
	maxSource = 1000 // code points
	maxSteps  = 200
	maxDepth  = 40
)

// Language is what an expression may be made of, beside numbers, texts, true and false, + - * / and the sign, comparisons, && || !,
// condition ? a : b, min(a, b, …), max(a, b, …), ceil(a), floor(a), round(a) and these with a number of decimals: round(a, 2), where a half
// goes away from zero. Each product and quotient is rounded half away from zero at the 12th decimal.
type Language[In any] struct {
	Called string // what it calls an expression, with its article: a formula
	Known  string // how its messages end: known are …
	// Name gives what a name stands for; ok is false where it is not known, and message says what else is wrong with it.
	Name func(name string) (n Node[In], message string, ok bool)
	// Member gives what of.name stands for, of["name"] too, and of[1], where the name is empty.
	Member func(of, name string, number int) (n Node[In], message string, ok bool)
	// Parse reads a number from a text. Where there is none, texts are for nothing but comparing; else there are functions of texts.
	Parse func(in In, text string) (money.Decimal, error)
}

// Node is an expression or a part of one: one of Number, Truth and Text is there. What they give as an error has no number: it
// overflows, divides by zero, reads a number from a text that is none.
type Node[In any] struct {
	Number func(in In) (money.Decimal, error)
	Truth  func(in In) (bool, error)
	Text   func(in In) (string, error)
	Write  Writer[In]

	fixed *money.Decimal // of a literal
	quote *string        // of a literal
}

// Writer writes an expression with its values in place of its names; binds is how strongly what is around binds, 0 where nothing is.
type Writer[In any] func(b *strings.Builder, in In, binds int)

// Number makes a part that is a number.
func Number[In any](of func(in In) money.Decimal) Node[In] {
	return Node[In]{
		Number: func(in In) (money.Decimal, error) { return of(in), nil },
		Write:  func(b *strings.Builder, in In, _ int) { writeNumber(b, of(in)) },
	}
}

// Text makes a part that is a text.
func Text[In any](of func(in In) string) Node[In] {
	return Node[In]{
		Text:  func(in In) (string, error) { return of(in), nil },
		Write: func(b *strings.Builder, in In, _ int) { fmt.Fprintf(b, "%q", of(in)) },
	}
}

// Compile reads an expression. The error says what is wrong and where in it.
func Compile[In any](source string, l *Language[In]) (Node[In], error) {
	p, err := parser.NewParser(
		parser.MaxRecursionDepth(maxDepth), parser.ExpressionSizeCodePointLimit(maxSource), parser.ErrorRecoveryLimit(1), parser.Macros(),
	)
	if err != nil {
		return Node[In]{}, fmt.Errorf("make a parser: %w", err)
	}
	tree, problems := p.Parse(common.NewTextSource(source))
	if list := problems.GetErrors(); len(list) > 0 {
		return Node[In]{}, fmt.Errorf("cannot be read at character %d: %s", list[0].Location.Column()+1, strings.ToValidUTF8(list[0].Message, "?"))
	}
	c := compiler[In]{language: l, source: []rune(source), info: tree.SourceInfo()}
	return c.compile(tree.Expr())
}

type compiler[In any] struct {
	language *Language[In]
	source   []rune
	info     *ast.SourceInfo
	steps    int
}

func (c *compiler[In]) fail(e ast.Expr, format string, args ...any) error {
	return fmt.Errorf("at character %d: %s", c.info.GetStartLocation(e.ID()).Column()+1, fmt.Sprintf(format, args...))
}

func (c *compiler[In]) unknown(e ast.Expr) (Node[In], error) {
	return Node[In]{}, c.fail(e, "this is no part of %s: %s", c.language.Called, c.language.Known)
}

func (c *compiler[In]) compile(e ast.Expr) (Node[In], error) {
	if c.steps++; c.steps > maxSteps {
		return Node[In]{}, c.fail(e, "the expression has more than %d parts: shorten it", maxSteps)
	}
	switch e.Kind() {
	case ast.LiteralKind:
		return c.literal(e)
	case ast.IdentKind:
		n, message, ok := c.language.Name(e.AsIdent())
		if !ok {
			return Node[In]{}, c.fail(e, "%q is not known: %s", e.AsIdent(), c.language.Known)
		}
		return c.said(e, n, message)
	case ast.CallKind:
		return c.call(e)
	case ast.SelectKind:
		if s := e.AsSelect(); !s.IsTestOnly() {
			return c.member(e, s.Operand(), s.FieldName(), 0)
		}
	}
	return c.unknown(e)
}

// said gives a part of the language, or what is wrong with it.
func (c *compiler[In]) said(e ast.Expr, n Node[In], message string) (Node[In], error) {
	if message != "" {
		return Node[In]{}, c.fail(e, "%s", message)
	}
	return n, nil
}

func (c *compiler[In]) member(e, of ast.Expr, name string, number int) (Node[In], error) {
	if of.Kind() != ast.IdentKind {
		return c.unknown(e)
	}
	n, message, ok := c.language.Member(of.AsIdent(), name, number)
	if !ok {
		return c.unknown(e)
	}
	return c.said(e, n, message)
}

// index is of["a name"] or of[1].
func (c *compiler[In]) index(e ast.Expr) (Node[In], error) {
	args := e.AsCall().Args()
	if args[1].Kind() == ast.LiteralKind {
		switch v := args[1].AsLiteral().(type) {
		case types.String:
			return c.member(e, args[0], string(v), 0)
		case types.Int:
			if v > 0 && v < 1<<16 {
				return c.member(e, args[0], "", int(v))
			}
		}
	}
	return c.unknown(e)
}

func writeNumber(b *strings.Builder, d money.Decimal) {
	if d.Sign() < 0 {
		b.WriteString("(" + d.String() + ")")
		return
	}
	b.WriteString(d.String())
}

// literal reads a number from the source, where it is exact.
func (c *compiler[In]) literal(e ast.Expr) (Node[In], error) {
	negative := false
	switch v := e.AsLiteral().(type) {
	case types.Bool:
		return Node[In]{Truth: func(In) (bool, error) { return bool(v), nil }, Write: func(b *strings.Builder, _ In, _ int) { fmt.Fprint(b, bool(v)) }}, nil
	case types.String:
		n := Text(func(In) string { return string(v) })
		n.quote = (*string)(&v)
		return n, nil
	case types.Int:
		negative = v < 0
	case types.Double:
		negative = v < 0 //nolint:forbidigo // only its sign
	default:
		return Node[In]{}, c.fail(e, "this is no number: %s", c.language.Known)
	}
	at, _ := c.info.GetOffsetRange(e.ID())
	text := strings.TrimSpace(strings.TrimPrefix(string(c.source[min(int(at.Start), len(c.source)):]), "-"))
	end := 0
	for end < len(text) && (strings.ContainsRune("0123456789.eE", rune(text[end])) || end > 0 && strings.ContainsRune("eE", rune(text[end-1])) && (text[end] == '+' || text[end] == '-')) {
		end++
	}
	d, err := money.Parse(text[:end])
	if err != nil || !d.WithinLimit() || end < len(text) && (text[end] == 'x' || text[end] == 'u') {
		return Node[In]{}, c.fail(e, "the number must be a decimal with at most 12 decimals, up to 10^15")
	}
	if negative {
		d = d.Neg()
	}
	n := Number(func(In) money.Decimal { return d })
	n.fixed = &d
	return n, nil
}

// call compiles operators and functions. A function of texts may stand behind its first argument: lower(a) is a.lower().
func (c *compiler[In]) call(e ast.Expr) (Node[In], error) {
	call := e.AsCall()
	name := call.FunctionName()
	over := call.Args()
	switch {
	case call.IsMemberFunction() && c.language.Parse == nil:
		return Node[In]{}, c.fail(e, "there are no functions of a value: %s", c.language.Known)
	case call.IsMemberFunction() && textFunctions[name].arguments == "":
		return Node[In]{}, c.fail(e, "%q is no function of a text: %s", name, c.language.Known)
	case call.IsMemberFunction():
		over = append([]ast.Expr{call.Target()}, over...)
	case name == operators.Index:
		return c.index(e)
	case name == operators.In && c.language.Parse != nil:
		return c.oneOf(e)
	}
	args := make([]Node[In], 0, len(over))
	for _, a := range over {
		n, err := c.compile(a)
		if err != nil {
			return Node[In]{}, err
		}
		args = append(args, n)
	}
	switch name {
	case operators.Conditional:
		return c.conditional(e, args)
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot:
		return c.logical(e, name, args)
	case operators.Negate:
		return c.negate(e, args[0])
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
		if name == operators.Add && c.language.Parse != nil && args[0].Text != nil && args[1].Text != nil {
			return c.joined(args), nil
		}
		return c.arithmetic(e, name, args)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.Equals, operators.NotEquals:
		return c.comparison(e, name, args)
	case "min", "max":
		return c.extreme(e, name, args)
	case "ceil", "floor", "round":
		return c.rounding(e, name, args)
	}
	if f, known := textFunctions[name]; known && c.language.Parse != nil {
		return c.ofTexts(e, name, f, args)
	}
	return Node[In]{}, c.fail(e, "%q is not known: %s", strings.Trim(name, "_"), c.language.Known)
}
