package catalog

import (
	"fmt"
	"unicode"

	"github.com/tollstream/tollstream/rater/method"
)

// Bounds of what a price book brings along.
const (
	maxExpression = 1000
	maxParameters = 50
)

// ownPrice compiles a formula, or the method that a rate names; nil for others.
func ownPrice(d *rateDef) (method.Price, error) {
	switch Model(d.Model) {
	case ModelFormula:
		return method.Formula(d.Expression)
	case ModelCustom:
		p, err := method.Compile(d.Method, d.Parameters)
		if err == nil && p == nil {
			err = fmt.Errorf("the method %s made nothing of its parameters", d.Method)
		}
		return p, err
	}
	return nil, nil
}

// eachPrice visits the rate and, of a matrix, the prices in it.
func (d *rateDef) eachPrice(visit func(*rateDef)) {
	visit(d)
	for _, e := range d.Prices {
		visit(&e.rateDef)
	}
	if d.Default != nil {
		visit(&d.Default.rateDef)
	}
}

// seesLine says whether it, or a price of its matrix, is a method of the price book's own.
func seesLine(d *rateDef) (sees bool) {
	d.eachPrice(func(p *rateDef) { sees = sees || Model(p.Model) == ModelFormula || Model(p.Model) == ModelCustom })
	return sees
}

// looksAtLine says whether a formula names the line's group or days.
func looksAtLine(d *rateDef) bool {
	p, _ := ownPrice(d)
	needs := method.NeedsOf(p)
	return needs.Days || len(needs.Group) > 0
}

// checkOwn checks a formula, or the parameters of a method.
func (r *reader) checkOwn(d *rateDef) {
	member, name := "expression", d.Expression
	if Model(d.Model) == ModelCustom {
		member, name = "method", d.Method
	}
	if name == "" { // of another model, or missing, which is reported
		return
	}
	if _, err := ownPrice(d); err != nil {
		r.fail(d.at.member(member), "%v", err)
	}
}

// expression reads a formula; what is on several lines is one.
func (r *reader) expression(into *string) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "a formula")
		if !ok {
			return
		}
		if s == "" || len(s) > maxExpression {
			r.fail(at, "must have 1 to %d bytes, not %d", maxExpression, len(s))
			return
		}
		text := []rune(s)
		for i, c := range text {
			if unicode.IsSpace(c) {
				text[i] = ' '
			}
		}
		*into = string(text)
	}
}

// parameters reads the parameters of a method: names and texts or numbers.
func (r *reader) parameters(into *map[string]string) read {
	return func(n *node, at *place) {
		if n.form != nodeObject || len(n.keys) > maxParameters {
			r.fail(at, "must be an object of at most %d names and values, not %s", maxParameters, n.describe())
			return
		}
		parameters := make(map[string]string, len(n.keys))
		for i, key := range n.keys {
			member := &place{up: at, name: shorten(key.text), line: key.line}
			if _, twice := parameters[key.text]; twice {
				r.fail(member, "is written twice")
			}
			var value string
			r.text(&value)(n.items[i], member)
			parameters[key.text] = value
		}
		if len(parameters) > 0 {
			*into = parameters
		}
	}
}
