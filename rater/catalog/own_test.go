package catalog

import (
	"errors"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
)

// half is a method of this test's program: the quantity divided by a number.
type half struct{ by money.Decimal }

func init() { method.Register("half", half{}) }

func (half) Compile(parameters map[string]string) (method.Price, error) {
	by, err := money.Parse(parameters["by"])
	if err != nil {
		return nil, errors.New("by must be a number")
	}
	if by.IsZero() {
		return nil, nil
	}
	return half{by}, nil
}

func (h half) Total(u method.Usage) (money.Decimal, error) { return u.Quantity.Div(h.by) }

func (h half) Terms(u method.Usage) []method.Term {
	total, _ := h.Total(u)
	return []method.Term{{Label: "a part", Text: u.Quantity.String() + " ÷ " + h.by.String(), Amount: total}}
}

func TestOwnMethods(t *testing.T) {
	b := newBook()
	const document = `
currency: EUR
products:
  - {id: f, rates: [{model: formula, expression: "quantity * 0.1 + 2", included: 10}]}
  - {id: c, rates: [{model: custom, method: half, parameters: {by: 4}}]}
  - id: m
    rates: [{model: matrix, dimensions: [to], prices: [{match: {to: a}, model: formula, expression: "events"}], default: {model: custom, method: half, parameters: {by: 2}}}]
accounts: [{id: a}]
`
	b.must(t, testNow, document)
	snap := b.plan(t, "a").Snapshot()
	u := method.Usage{Quantity: money.MustParse("30"), Events: 3}
	want := func(name string, r *Rate, total string) {
		t.Helper()
		if got, err := r.Own.Total(u); err != nil || got.String() != total {
			t.Errorf("%s comes to %s, %v; want %s", name, got, err, total)
		}
	}
	want("the formula", snap.Product("f").Rates[0], "5")
	want("the method", snap.Product("c").Rates[0], "7.5")
	m := snap.Product("m").Rates[0].Matrix
	want("the formula of an entry", m.Select([]string{"a"}, 0, nil), "3")
	want("the method of the default", m.Select([]string{"b"}, 0, nil), "15")
	exported, err := ExportYAML(b.list())
	if err != nil {
		t.Fatal(err)
	}
	if changes := b.must(t, testNow, string(exported)); len(changes) != 0 {
		t.Errorf("applying the export changes %v: %s", changes, exported)
	}

	// Another program, which is built without the method, does not price it some other way.
	row := b.rows[Ref{KindProduct, "c"}]
	row.Body = []byte(`{"id":"c","rates":[{"id":"product:c","model":"custom","currency":"EUR","method":"unheard"}]}`)
	if _, err := NewSnapshot([]Row{row}); err == nil {
		t.Error("a method that is not there is decoded")
	}
}
