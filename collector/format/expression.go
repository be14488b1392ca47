package format

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/ledger/money/expression"
)

// Expression works out a text, a number or a condition from the values of a record: record["path"], record.path and record[3]. A
// number in a text is read by decimal(text), as the format writes numbers.
type Expression struct {
	source string
	paths  []Path
	node   expression.Node[*record]
}

// record is what an expression sees.
type record struct {
	fields   []string
	places   []int // of the expression's paths among the fields
	notation *Notation
}

func (r *record) value(path int) string {
	text := r.fields[r.places[path]]
	if text != "" && slices.Contains(r.notation.Null, text) {
		return ""
	}
	return text
}

const knownInRecords = `known are record["path"], numbers and texts, + - * /, comparisons, && || !, ? :, a in ["b", "c"], min, max, ceil, floor, round, ` +
	"decimal(text), text(number), contains, startsWith, endsWith, lower, upper, trim, replace, substring, size and matches"

// CompileExpression reads an expression. The error says what is wrong and where in it.
func CompileExpression(source string) (*Expression, error) {
	x := &Expression{source: source}
	node, err := expression.Compile(source, &expression.Language[*record]{
		Called: "a mapping", Known: knownInRecords, Name: recordName, Member: x.member,
		Parse: func(r *record, text string) (money.Decimal, error) {
			d, message := usage.ParseNumber("number", r.notation.number(text))
			if message != "" {
				if text == "" {
					message = "there is no number in an empty text"
				}
				return d, errors.New(message)
			}
			return d, nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	x.node = node
	return x, nil
}

// Condition tells whether the expression gives true or false.
func (x *Expression) Condition() bool { return x.node.Truth != nil }

func recordName(name string) (n expression.Node[*record], message string, ok bool) {
	return n, "record needs the path of a value: record[\"path\"]", name == "record"
}

func (x *Expression) member(of, name string, number int) (n expression.Node[*record], message string, ok bool) {
	if of != "record" {
		return n, "", false
	}
	if name == "" && number == 0 {
		return n, "the path of a value is empty", true
	}
	at := slices.Index(x.paths, Path{Name: name, Column: number})
	if at < 0 {
		at = len(x.paths)
		x.paths = append(x.paths, Path{Name: name, Column: number})
	}
	return expression.Text(func(r *record) string { return r.value(at) }), "", true
}
