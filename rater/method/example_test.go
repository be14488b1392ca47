package method_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
	"github.com/tollstream/tollstream/rater/method/methodtest"
)

// stepped charges a price for each started step of usage; what was taken back below nothing costs nothing. In a price book:
//
//	rates: [{model: custom, method: stepped, parameters: {step: 100, price: 2.5}}]
type stepped struct{}

type steps struct{ step, price money.Decimal }

func init() { method.Register("stepped", stepped{}) }

// Compile implements method.Method.
func (stepped) Compile(parameters map[string]string) (method.Price, error) {
	var s steps
	var err error
	if s.step, err = money.Parse(parameters["step"]); err != nil || s.step.Sign() <= 0 {
		return nil, errors.New("step must be a number above 0")
	}
	if s.price, err = money.Parse(parameters["price"]); err != nil {
		return nil, errors.New("price must be a number")
	}
	if len(parameters) > 2 {
		return nil, errors.New("known are step and price")
	}
	return s, nil
}

func (s steps) started(u method.Usage) (money.Decimal, error) {
	if u.Quantity.Sign() <= 0 {
		return money.Decimal{}, nil
	}
	return money.CeilDiv(u.Quantity, s.step)
}

// Total implements method.Price.
func (s steps) Total(u method.Usage) (money.Decimal, error) {
	n, err := s.started(u)
	if err != nil {
		return n, err
	}
	return n.Mul(s.price)
}

// Terms implements method.Price.
func (s steps) Terms(u method.Usage) []method.Term {
	n, err := s.started(u)
	if err != nil {
		return nil
	}
	total, err := n.Mul(s.price)
	if err != nil {
		return nil
	}
	return []method.Term{{Label: "started steps of " + s.step.String(), Text: fmt.Sprintf("%s × %s", n, s.price), Amount: total}}
}

func TestSteppedConforms(t *testing.T) {
	methodtest.Run(t, stepped{}, map[string]string{"step": "100", "price": "2.5"})
}

func ExampleRegister() {
	p, err := method.Compile("stepped", map[string]string{"step": "100", "price": "2.5"})
	if err != nil {
		panic(err)
	}
	u := method.Usage{Quantity: money.MustParse("150"), Events: 3}
	total, err := p.Total(u)
	fmt.Println(p.Terms(u)[0].Text, "=", total, err)
	_, err = method.Compile("unheard", nil)
	fmt.Println(err)
	// Output:
	// 2 × 2.5 = 5 <nil>
	// there is no method "unheard": this program is built with [stepped]
}
