package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/tollstream/tollstream/ledger/money"
)

// maxText is how long a text may be that an expression makes.
const maxText = 64 << 10

var errLongText = fmt.Errorf("it makes a text of more than %d bytes", maxText)

// textFunction is a function whose arguments are texts (t), numbers (n) and, written in the expression, whole numbers (i) and regular
// expressions (r); what stands behind | may be left out. One of its results is there.
type textFunction struct {
	arguments string
	text      func(a []string, whole []int) (string, error)
	truth     func(a []string) bool
	number    func(a string) int64
}

// textFunctions are those that texts alone decide; matches, decimal and text have more to see.
var textFunctions = map[string]textFunction{
	"contains":   {arguments: "tt", truth: func(a []string) bool { return strings.Contains(a[0], a[1]) }},
	"startsWith": {arguments: "tt", truth: func(a []string) bool { return strings.HasPrefix(a[0], a[1]) }},
	"endsWith":   {arguments: "tt", truth: func(a []string) bool { return strings.HasSuffix(a[0], a[1]) }},
	"lower":      {arguments: "t", text: func(a []string, _ []int) (string, error) { return strings.ToLower(a[0]), nil }},
	"upper":      {arguments: "t", text: func(a []string, _ []int) (string, error) { return strings.ToUpper(a[0]), nil }},
	"trim":       {arguments: "t", text: func(a []string, _ []int) (string, error) { return strings.TrimSpace(a[0]), nil }},
	"replace":    {arguments: "ttt", text: func(a []string, _ []int) (string, error) { return replace(a[0], a[1], a[2]) }},
	"substring":  {arguments: "ti|i", text: substring},
	"size":       {arguments: "t", number: func(a string) int64 { return int64(utf8.RuneCountInString(a)) }},
	"matches":    {arguments: "tr"},
	"decimal":    {arguments: "t"},
	"text":       {arguments: "n"},
}

func replace(a, old, by string) (string, error) {
	if old == "" {
		return "", errors.New("it replaces nothing by a text")
	}
	if len(a)+strings.Count(a, old)*(len(by)-len(old)) > maxText {
		return "", errLongText
	}
	return strings.ReplaceAll(a, old, by), nil
}

// substring counts characters from 0; the end is not part of it.
func substring(a []string, whole []int) (string, error) {
	runes := []rune(a[0])
	from, to := whole[0], len(runes)
	if len(whole) > 1 {
		to = whole[1]
	}
	if from > to || to > len(runes) {
		return "", fmt.Errorf("the text has %d characters, none from %d to %d", len(runes), from, to)
	}
	return string(runes[from:to]), nil
}

// ofTexts compiles a function of texts.
func (c *compiler[In]) ofTexts(e ast.Expr, name string, f textFunction, args []Node[In]) (Node[In], error) {
	required, more, _ := strings.Cut(f.arguments, "|")
	kinds := required + more
	if len(args) < len(required) || len(args) > len(kinds) {
		return Node[In]{}, c.fail(e, "%s has %d arguments here, and needs %d", name, len(args), len(required))
	}
	var texts []func(In) (string, error)
	var whole []int
	for i, a := range args {
		switch kinds[i] {
		case 't':
			if a.Text == nil {
				return Node[In]{}, c.fail(e, "%s needs a text; text(number) makes one", name)
			}
			texts = append(texts, a.Text)
		case 'n':
			if a.Number == nil {
				return Node[In]{}, c.fail(e, "%s needs a number", name)
			}
		case 'i':
			n, ok := wholeNumber(a.fixed)
			if !ok {
				return Node[In]{}, c.fail(e, "%s needs whole numbers from 0, written in the expression", name)
			}
			whole = append(whole, n)
		}
	}
	n := Node[In]{Write: function(name, args)}
	switch {
	case name == "matches":
		return c.matches(e, n, args)
	case name == "decimal":
		n.Number = c.decimal(texts[0])
	case name == "text":
		n.Text = func(in In) (string, error) {
			d, err := args[0].Number(in)
			return d.String(), err
		}
	case f.truth != nil:
		n.Truth = func(in In) (bool, error) {
			a, err := evaluated(texts, in)
			return err == nil && f.truth(a), err
		}
	case f.number != nil:
		n.Number = func(in In) (money.Decimal, error) {
			a, err := texts[0](in)
			return money.FromInt(f.number(a)), err
		}
	default:
		n.Text = func(in In) (string, error) {
			a, err := evaluated(texts, in)
			if err != nil {
				return "", err
			}
			return f.text(a, whole)
		}
	}
	return n, nil
}

func wholeNumber(d *money.Decimal) (int, bool) {
	for n := 0; d != nil && n <= maxSource; n++ {
		if *d == money.FromInt(int64(n)) {
			return n, true
		}
	}
	return 0, false
}

func evaluated[In any](texts []func(In) (string, error), in In) ([]string, error) {
	out := make([]string, len(texts))
	for i, t := range texts {
		var err error
		if out[i], err = t(in); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c *compiler[In]) decimal(of func(In) (string, error)) func(In) (money.Decimal, error) {
	parse := c.language.Parse
	return func(in In) (money.Decimal, error) {
		text, err := of(in)
		if err != nil {
			return money.Decimal{}, err
		}
		return parse(in, text)
	}
}

// matches looks for a regular expression (RE2), whose time is linear in the text.
func (c *compiler[In]) matches(e ast.Expr, n Node[In], args []Node[In]) (Node[In], error) {
	if args[1].quote == nil {
		return n, c.fail(e, "the regular expression stands in quotes, in the expression")
	}
	pattern, err := regexp.Compile(*args[1].quote)
	if err != nil {
		return n, c.fail(e, "%s", err)
	}
	n.Truth = func(in In) (bool, error) {
		text, err := args[0].Text(in)
		return err == nil && pattern.MatchString(text), err
	}
	return n, nil
}

// joined is a text behind another.
func (c *compiler[In]) joined(args []Node[In]) Node[In] {
	x, y := args[0].Text, args[1].Text
	return Node[In]{Text: func(in In) (string, error) {
		a, err := x(in)
		if err != nil {
			return "", err
		}
		b, err := y(in)
		if err == nil && len(a)+len(b) > maxText {
			err = errLongText
		}
		return a + b, err
	}, Write: infix("+", bindsAdd, args[0].Write, args[1].Write)}
}

// oneOf is a in ["b", "c"].
func (c *compiler[In]) oneOf(e ast.Expr) (Node[In], error) {
	sides := e.AsCall().Args()
	left, err := c.compile(sides[0])
	if err != nil {
		return Node[In]{}, err
	}
	if left.Text == nil || sides[1].Kind() != ast.ListKind {
		return Node[In]{}, c.fail(e, `in looks for a text in a list of texts: a in ["b", "c"]`)
	}
	among := map[string]bool{}
	var list []string
	for _, one := range sides[1].AsList().Elements() {
		var text types.String
		if one.Kind() == ast.LiteralKind {
			text, _ = one.AsLiteral().(types.String)
		}
		if text == "" {
			return Node[In]{}, c.fail(one, "the list of in has texts in quotes, none of them empty")
		}
		among[string(text)] = true
		list = append(list, fmt.Sprintf("%q", string(text)))
	}
	return Node[In]{Truth: func(in In) (bool, error) {
		text, err := left.Text(in)
		return err == nil && among[text], err
	}, Write: infix("in", bindsCompare, left.Write, func(b *strings.Builder, _ In, _ int) {
		b.WriteString("[" + strings.Join(list, ", ") + "]")
	})}, nil
}
