// Package pricetest works out the equations that explain prices, for the tests of whoever shows them. It knows arithmetic and nothing of
// prices. Only tests import it.
package pricetest

import (
	"fmt"
	"math/big"
	"strings"
)

// Equation is "left = right", or "left ≈ right" where rounding shows.
type Equation struct {
	Left, Right *big.Rat
	Exact       bool
}

// WorkOut evaluates both sides of an equation: sums of products and quotients of decimals and percentages, in parentheses or not.
func WorkOut(text string) (Equation, error) {
	left, right, exact := strings.Cut(text, " = ")
	if !exact {
		var rounded bool
		if left, right, rounded = strings.Cut(text, " ≈ "); !rounded {
			return Equation{}, fmt.Errorf("%q is no equation", text)
		}
	}
	e := Equation{Exact: exact}
	var err error
	if e.Left, err = side(left); err == nil {
		e.Right, err = side(right)
	}
	if err != nil {
		return Equation{}, fmt.Errorf("%q: %w", text, err)
	}
	return e, nil
}

// Claims says what is wrong with an equation that claims the amount; "": nothing. After = both sides are the same, after ≈ they differ
// by at most as many units of the 12th decimal as there were roundings.
func Claims(text, amount string, roundings int64) string {
	e, err := WorkOut(text)
	if err != nil {
		return err.Error()
	}
	want, ok := new(big.Rat).SetString(amount)
	if !ok {
		return amount + " is no amount"
	}
	off := new(big.Rat).Sub(e.Left, e.Right)
	tolerance := new(big.Rat).Quo(new(big.Rat).SetInt64(roundings), new(big.Rat).SetInt64(1e12))
	switch {
	case e.Right.Cmp(want) != 0:
		return fmt.Sprintf("%q claims another amount than %s", text, amount)
	case e.Exact && off.Sign() != 0, off.Abs(off).Cmp(tolerance) > 0:
		return fmt.Sprintf("%q is off by %s", text, off.FloatString(24))
	}
	return ""
}

func side(text string) (*big.Rat, error) {
	p := &reader{rest: text}
	sum, err := p.sum()
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q is left over", p.rest)
	}
	return sum, err
}

// reader reads an expression from its front.
type reader struct{ rest string }

// take removes the sign if it comes next.
func (p *reader) take(sign string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(p.rest, " "), sign)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *reader) sum() (*big.Rat, error) {
	sum, err := p.product()
	for err == nil {
		var next *big.Rat
		switch {
		case p.take("+"):
			if next, err = p.product(); err == nil {
				sum.Add(sum, next)
			}
		case p.take("- "), p.take("− "):
			if next, err = p.product(); err == nil {
				sum.Sub(sum, next)
			}
		default:
			return sum, nil
		}
	}
	return nil, err
}

func (p *reader) product() (*big.Rat, error) {
	product, err := p.operand()
	for err == nil {
		var next *big.Rat
		switch {
		case p.take("×"):
			if next, err = p.operand(); err == nil {
				product.Mul(product, next)
			}
		case p.take("/"):
			if next, err = p.operand(); err == nil {
				if next.Sign() == 0 {
					return nil, fmt.Errorf("division by zero")
				}
				product.Quo(product, next)
			}
		default:
			return product, nil
		}
	}
	return nil, err
}

func (p *reader) operand() (*big.Rat, error) {
	number, err := p.number()
	if err == nil && p.take("%") {
		number.Quo(number, new(big.Rat).SetInt64(100))
	}
	return number, err
}

func (p *reader) number() (*big.Rat, error) {
	if p.take("(") {
		sum, err := p.sum()
		if err == nil && !p.take(")") {
			err = fmt.Errorf("a parenthesis is not closed before %q", p.rest)
		}
		return sum, err
	}
	text := strings.TrimLeft(p.rest, " ")
	end := strings.IndexFunc(text, func(c rune) bool { return !strings.ContainsRune("-.0123456789", c) })
	if end < 0 {
		end = len(text)
	}
	number, ok := new(big.Rat).SetString(text[:end])
	if !ok {
		return nil, fmt.Errorf("a number is missing before %q", p.rest)
	}
	p.rest = text[end:]
	return number, nil
}
