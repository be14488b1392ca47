package pg_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/rater/rerate"
)

const sharedTiers = `
currency: USD
seller: {id: main}
products: [{id: calls, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}]
accounts: [{id: p}, {id: q}, {id: x, parent: p, bill_to: parent}, {id: y, parent: p, bill_to: parent}, {id: z, parent: p, bill_to: parent}, {id: u, parent: p, bill_to: parent}]
`

// paid is a line of the account's usage of November or, of another month, of December, that p pays; late usage is billed to somebody else.
func (w *world) paid(account string, n byte, month int, billed string) {
	start, end := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	if month != 11 {
		start, end = end, end.AddDate(0, 1, 0)
	}
	w.exec(`INSERT INTO line VALUES ($1, $2, 0, $2, $2, $3, $6, 'main', 'calls', '', '[]', 'USD', $4, $5, $4, $5, 1, 1, 1, '', 1, 'product_default', '', 'r', 'per_unit', 1, 'p')`,
		w.partitionOf("p"), uuidOf(n), account, start.UnixNano(), end.UnixNano(), billed)
}

// sealed closes November of p under definitions.
func (w *world) sealed(seq int64) {
	november := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	points := binary.BigEndian.AppendUint64(nil, uint64(november))                                                                        //nolint:gosec // of our time
	w.exec("INSERT INTO seal VALUES ($1, 'p', $2, $3)", w.partitionOf("p"), november, binary.BigEndian.AppendUint64(points, uint64(seq))) //nolint:gosec // as above
}

// TestSharersOfClosedInvoices: who shares pools of a closed invoice with an account is rated anew with it; of a demand behind it.
func TestSharersOfClosedInvoices(t *testing.T) {
	contract := "contracts: [{id: c-x, account: x, start: 2026-01-01, rates: [{product: calls, model: per_unit, unit_price: 0.08}]}]\n"
	begin := func() *world {
		w := newWorld(t)
		seq := w.apply(sharedTiers)
		w.paid("x", 1, 11, "p")
		w.paid("y", 2, 11, "p")
		w.paid("z", 3, 12, "p") // is not closed
		w.paid("u", 4, 11, "q") // is billed elsewhere
		w.sealed(seq)
		return w
	}
	w := begin()
	seq := w.apply(contract)
	w.steps(w.runner("one"))
	for _, account := range []string{"x", "y", "u"} {
		if got := fmt.Sprint(w.sent); strings.Count(got, fmt.Sprintf("result %d of %s", seq, account)) != 1 {
			t.Errorf("%s", got)
		}
	}
	if got := fmt.Sprint(w.sent); strings.Contains(got, "of z") || len(w.sent) != 6 {
		t.Errorf("%s", got)
	}

	w = begin()
	w.apply(contract)
	w.steps(w.faulty("one", rerate.Faults{SharersStay: true}))
	if len(w.sent) != 2 {
		t.Errorf("with the fault: %s", w.sent)
	}

	w = begin()
	seq = w.demand("x")
	w.steps(w.runner("one"))
	want := strings.ReplaceAll("[marker N of x result N of x marker N of u marker N of y result N of u result N of y]", "N", fmt.Sprint(seq))
	if got := fmt.Sprint(w.sent); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	w = begin() // where every account has its own tiers nobody else is concerned
	w.apply(strings.Replace(sharedTiers, "pool: invoice, ", "", 1))
	w.steps(w.runner("one"))
	w.sent = nil
	w.exec("DELETE FROM seal")
	w.sealed(seq)
	w.apply(contract)
	w.steps(w.runner("one"))
	if got := fmt.Sprint(w.sent); len(w.sent) != 2 || strings.Contains(got, "of y") {
		t.Errorf("%s", got)
	}
}
