// Package methodtest checks that a rating method keeps what package method demands.
package methodtest

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
)

// Run prices much usage with the method, in another order and at the same time by several goroutines: totals must not depend on what
// was asked before, the terms must add up to them, and a price that is compiled again must be the same. The author's tests say whether
// the figures are right.
func Run(t *testing.T, m method.Method, parameters map[string]string) {
	t.Helper()
	p, err := m.Compile(parameters)
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	again, err := m.Compile(parameters)
	if err != nil {
		t.Fatalf("compile again: %v", err)
	}
	cases := usages()
	type answer struct {
		total  money.Decimal
		failed bool
	}
	want := make([]answer, len(cases))
	for i, u := range cases {
		total, err := p.Total(u)
		want[i] = answer{total, err != nil}
		if err != nil {
			continue
		}
		var sum money.Decimal
		for _, term := range p.Terms(u) {
			if sum, err = sum.Add(term.Amount); err != nil {
				t.Fatalf("%s in %d events: the terms overflow: %v", u.Quantity, u.Events, err)
			}
			if term.Text == "" {
				t.Errorf("%s in %d events: the term %q has no text", u.Quantity, u.Events, term.Label)
			}
		}
		if sum != total {
			t.Errorf("%s in %d events: the terms add up to %s, the total is %s", u.Quantity, u.Events, sum, total)
		}
	}
	var wait sync.WaitGroup
	for _, other := range []method.Price{p, again, p, again} {
		wait.Go(func() {
			for i := len(cases) - 1; i >= 0; i-- {
				total, err := other.Total(cases[i])
				if got := (answer{total, err != nil}); got != want[i] {
					t.Errorf("%s in %d events: %s (failed: %v), asked in another order %s", cases[i].Quantity, cases[i].Events, want[i].total, want[i].failed, total)
				}
			}
		})
	}
	wait.Wait()
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Total(cases[0]) }); n > 0 {
		t.Errorf("a total allocates %v times: it is asked for with every event", n)
	}
}

// usages are the bounds of what there may be, and others at random, the same each time.
func usages() []method.Usage {
	var list []method.Usage
	lines := []*method.Line{{Days: 31, Group: []method.Attribute{{Name: "region", Value: "eu"}}}, {Days: 1}, {}, nil}
	for _, q := range []string{"1", "0", "-1", "0.000000000001", "100", "100.5", "1000000000000000", "-1000000000000000"} {
		for _, events := range []int64{1, 2, 1 << 62} {
			list = append(list, method.Usage{Quantity: money.MustParse(q), Events: events, Line: lines[len(list)%len(lines)]})
		}
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	for range 1000 {
		thousandth, err := money.FromInt(random.Int64N(2_000_000) - 500_000).Mul(money.MustParse("0.001"))
		if err != nil {
			panic(err)
		}
		list = append(list, method.Usage{Quantity: thousandth, Events: 1 + random.Int64N(1000), Line: lines[random.IntN(len(lines))]})
	}
	return list
}
