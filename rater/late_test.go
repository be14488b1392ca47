package rater

import (
	"fmt"
	"testing"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// TestLateUsageLeavesClosedLines: usage of January is sent in March. Customer z paid for the first of it on its February invoice, which is
// closed; then a is billed for z since February. What a pays continues that line, and so it stands on a's invoice of March:
// on that of February it would come before z's and change what it says.
func TestLateUsageLeavesClosedLines(t *testing.T) {
	const february, march = benchStart + 31*24*benchHour, benchStart + 59*24*benchHour
	for _, c := range []struct {
		faults Faults
		want   string
	}{
		// 1,000 at 0.05, then 0.04: 600 cost 30, 1,200 cost 58, one more 0.04.
		{Faults{}, "z february 30; a march 28; a march 0.04"},
		{Faults{CarryBeforeClosed: true}, "z february 30; z february -2 and a february 30; z february -0.01 and a february 0.05"},
	} {
		stores := newBenchStores(t)
		define := func(id, parent string, billing ...any) {
			body := object{"id": id, "currency": "USD", "routing_key": "a", "seller": "main", "billing": billing}
			if parent != "" {
				body["parent"] = parent
			}
			row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: id}, Seq: 1, Body: mustJSON(body)}
			var err error
			if stores.accounts[id], err = catalog.DecodeAccount(row, nil); err != nil {
				t.Fatal(err)
			}
		}
		monthly := object{"cycle": object{"every": "monthly"}}
		define("a", "", monthly)
		define("z", "a", monthly)

		m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, c.faults)
		step := func(r *usage.Record) *activity.Record { return stepOne(t, m, stores, march+24*benchHour, m.last+1, r) }
		seal := func(account string, end int64) {
			step(&usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: account, PeriodEnd: end}})
		}
		got := ""
		use := func(quantity int64) {
			e := usage.Event{ID: fmt.Sprint("e", m.last), Source: "s", Account: "z", RoutingKey: "a", Product: "calls", Quantity: money.FromInt(quantity), Time: february - benchHour}
			if got != "" {
				got += "; "
			}
			for i, a := range step(&usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}}).Activities {
				if i > 0 {
					got += " and "
				}
				month := "march"
				if a.PeriodStart == february {
					month = "february"
				}
				got += fmt.Sprintf("%s %s %s", a.Billed, month, a.Charge)
			}
		}
		seal("z", february)
		use(600)
		seal("z", march)
		define("z", "a", monthly, object{"cycle": object{"every": "monthly"}, "bill_to": "parent", "start": "2026-02-01T00:00:00Z"})
		step(&usage.Record{Kind: usage.KindDefinitions, Definitions: &usage.Definitions{
			From: 2, To: 2, Links: []uint64{2}, Changed: []usage.DefinitionRef{{Seq: 2, Kind: string(catalog.KindAccount), ID: "z"}},
		}})
		use(600)
		use(1)
		if got != c.want {
			t.Errorf("charged %s, by hand %s", got, c.want)
		}
	}
}
