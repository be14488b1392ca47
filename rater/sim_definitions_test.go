package rater

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
)

// simRow is one definition: in words for the oracle, as a row for the rater.
type simRow struct {
	row         catalog.Row
	price       *simPrice // of a product's default or a contract
	bill        *simBill  // of an account
	day         *simDayRates
	demand      string // nothing changes: somebody wants the account's usage rated anew, of periods that end after from and begin before until
	from, until int64
	change      usage.DefinitionRef
}

type simPrice struct {
	contract      string // "" for a product's default
	account       string
	product       string
	start         int64
	deleted       bool
	pool          catalog.Pool
	volume        bool
	limit         int64 // units at first, the rest at second
	first, second int64 // hundredths
	aggregation   catalog.Aggregation

	terms *simTerms // of any method, in place of these
	end   int64     // of a product's, with terms
	next  *simPrice // … and the one behind it, nil: none
}

// simPools are those of the prices that change; p1 has groups, which an account's pool has together.
var simPools = []catalog.Pool{"", "", catalog.PoolAccount, catalog.PoolInvoice}

type simBill struct {
	account string
	from    int64
	parent  bool
}

// simBegin are the definitions that every schedule begins with, and what is decoded of them.
type simBegin struct {
	defs      []*simRow
	bill      map[string][]simBill
	snapshots []*catalog.Snapshot
	accounts  map[simAccount]*catalog.Account
}

var simBeginning = sync.OnceValue(func() *simBegin {
	w := &world{cycle: &simCycles[0], bill: map[string][]simBill{}, accounts: map[simAccount]*catalog.Account{}}
	for _, p := range simProducts {
		price := &simPrice{product: p, limit: 30, first: 10, second: 7}
		if p == "p1" {
			price.pool = catalog.PoolInvoice
		}
		w.define(priceRow(price))
	}
	for _, a := range simAccounts {
		w.bill[a] = []simBill{{account: a, from: -1 << 63, parent: a == "a1"}}
		w.define(w.accountRow(a))
	}
	if _, err := w.Snapshot(context.Background(), int64(len(w.defs))); err != nil {
		panic(err)
	}
	if _, err := w.Accounts(context.Background(), int64(len(w.defs)), simAccounts); err != nil {
		panic(err)
	}
	return &simBegin{w.defs, w.bill, w.snapshots, w.accounts}
})

// begin makes the first definitions.
func (w *world) begin() {
	b := simBeginning()
	w.bill = maps.Clone(b.bill)
	w.snapshots, w.accounts = nil, map[simAccount]*catalog.Account{}
	usual := w.cycle == &simCycles[0]
	switch {
	case w.rich:
		w.families, w.dated, w.moneys = map[string]int{}, map[string]int64{}, map[string]string{}
		w.define(w.exchangeRow(-40, true))
		for _, p := range simProducts {
			w.define(priceRow(w.anyPrices(p)))
		}
	case w.anew:
		for _, p := range simProducts {
			w.define(priceRow(&simPrice{product: p, limit: 30, first: 10, second: 7, aggregation: w.aggregation[p], pool: w.anyPool(p)}))
		}
	case usual:
		w.defs, w.snapshots = slices.Clip(b.defs[:len(simProducts)]), slices.Clip(b.snapshots)
	default:
		w.defs = slices.Clip(b.defs[:len(simProducts)])
	}
	if usual && !w.rich {
		w.defs, w.accounts = append(w.defs, b.defs[len(w.defs):]...), maps.Clone(b.accounts)
		return
	}
	for _, a := range simAccounts {
		w.define(w.accountRow(a))
	}
}

func (w *world) define(row *simRow) {
	w.hidden = 0
	if w.faults.SeqBeforeCommit && w.n(2) == 0 {
		w.hidden = int64(len(w.defs) + 1)
	}
	row.row.Seq = int64(len(w.defs) + 1)
	row.change = usage.DefinitionRef{Seq: row.row.Seq, Kind: string(row.row.Kind), ID: row.row.ID}
	if row.price != nil && row.price.contract != "" {
		row.change.Account = row.price.account
	}
	w.defs = append(w.defs, row)
	if w.tracing {
		w.log("definition %d: %s %s %s%s", row.row.Seq, row.row.Kind, row.row.ID, row.row.Body, row.demand)
	}
	w.addJob(row)
}

func cents(v int64) string { return fmt.Sprintf("%d.%02d", v/100, v%100) }

func simTime(t int64) string { return time.Unix(0, t).UTC().Format(time.RFC3339Nano) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

type object = map[string]any

func priceRow(p *simPrice) *simRow {
	model := "graduated"
	if p.volume {
		model = "volume"
	}
	rate := fmt.Sprintf(`"model":%q,"currency":"USD","tiers":[{"up_to":"%d","unit_price":%q},{"unit_price":%q}]`, model, p.limit, cents(p.first), cents(p.second))
	if p.aggregation != "" {
		rate += fmt.Sprintf(`,"aggregation":%q`, p.aggregation)
		if p.aggregation == catalog.AggregationUnique {
			rate += fmt.Sprintf(`,"attribute":%q`, simCounted)
		}
	}
	if p.pool != "" {
		rate += fmt.Sprintf(`,"pool":%q`, p.pool)
	}
	ref := catalog.Ref{Kind: catalog.KindProduct, ID: p.product}
	body := ""
	switch {
	case p.terms != nil && p.contract != "":
		ref = catalog.Ref{Kind: catalog.KindContract, ID: p.contract}
		body = fmt.Sprintf(`{"id":%q,"account":%q,"start":%q,"rates":[%s]}`, p.contract, p.account, simTime(p.start), p.terms.body(p.product))
	case p.terms != nil:
		rates := p.terms.body(p.product)
		if p.next != nil {
			rates += "," + p.next.terms.body(p.product)
		}
		body = fmt.Sprintf(`{"id":%q,"rates":[%s]}`, p.product, rates)
		if p.product == "p1" {
			body = fmt.Sprintf(`{"id":%q,"group_by":["region"],"rates":[%s]}`, p.product, rates)
		}
	case p.contract != "":
		ref = catalog.Ref{Kind: catalog.KindContract, ID: p.contract}
		body = fmt.Sprintf(`{"id":%q,"account":%q,"start":%q,"rates":[{"id":"contract:%s/%s","product":%q,%s}]}`,
			p.contract, p.account, simTime(p.start), p.contract, p.product, p.product, rate)
	case p.product == "p1":
		body = fmt.Sprintf(`{"id":%q,"group_by":["region"],"rates":[{"id":"product:%s",%s}]}`, p.product, p.product, rate)
	default:
		body = fmt.Sprintf(`{"id":%q,"rates":[{"id":"product:%s",%s}]}`, p.product, p.product, rate)
	}
	return &simRow{row: catalog.Row{Ref: ref, Deleted: p.deleted, Body: []byte(body)}, price: p}
}

func (w *world) accountRow(a string) *simRow {
	var terms []any
	for i, b := range w.bill[a] {
		t := object{"cycle": w.cycle.definition()}
		if i > 0 {
			t["start"] = simTime(b.from)
		}
		if b.parent {
			t["bill_to"] = "parent"
		}
		terms = append(terms, t)
	}
	body := object{"id": a, "currency": "USD", "routing_key": simKey[a], "seller": "main", "billing": terms}
	if simParent[a] != "" {
		body["parent"] = simParent[a]
	}
	if a == "a4" {
		body["late"] = "reject"
	}
	last := w.bill[a][len(w.bill[a])-1]
	return &simRow{row: catalog.Row{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: a}, Body: mustJSON(body)}, bill: &last}
}

// anyPool is for a price of the product.
func (w *world) anyPool(product string) catalog.Pool {
	if w.aggregation[product] == catalog.AggregationLatest || w.aggregation[product] == catalog.AggregationUnique {
		return ""
	}
	return simPools[w.n(len(simPools))]
}

// change makes one change of the definitions.
func (w *world) change() {
	if len(w.defs) > 22 {
		return
	}
	price := &simPrice{product: simProducts[w.n(2)], limit: int64(20 + w.n(20)), first: int64(5 + w.n(10)), second: int64(1 + w.n(8)), volume: w.n(2) == 0}
	price.aggregation = w.aggregation[price.product]
	if !w.rich {
		price.pool = w.anyPool(price.product)
	}
	if w.rich && w.n(4) == 0 {
		w.define(w.exchangeRow(w.exchangeDay(), false))
	}
	switch w.n(6) {
	case 5:
		if w.anew {
			w.define(&simRow{demand: simAccounts[w.n(len(simAccounts))]})
		}
	case 0, 1:
		if w.rich {
			price = w.anyPrices(price.product)
		}
		w.define(priceRow(price))
	case 2, 3:
		price.account = simAccounts[w.n(len(simAccounts))]
		price.contract = "c" + price.account + price.product
		price.start = w.someHour()
		first := true
		keeps := w.n(3) > 0 || !w.anew
		for _, d := range w.defs { // mostly a contract keeps its start: only its prices change, or it goes
			if d.price != nil && d.price.contract == price.contract {
				first = false
				if keeps {
					price.start = d.price.start
				}
			}
		}
		price.deleted = !first && w.n(3) == 0
		if w.rich {
			price.terms = w.terms("contract:"+price.contract+"/"+price.product, price.start, never)
		}
		w.define(priceRow(price))
	case 4:
		a := simAccounts[1+w.n(2)]
		_, from := w.cycle.at(w.now)
		if last := w.bill[a][len(w.bill[a])-1]; last.from >= from {
			return
		}
		w.bill[a] = append(slices.Clone(w.bill[a]), simBill{account: a, from: from, parent: w.n(2) == 0})
		w.define(w.accountRow(a))
	}
	w.synced()
}

func chainSum(seq int64) uint64 {
	if seq == 0 {
		return 0
	}
	return uint64(seq)*0x9e3779b97f4a7c15 + 1
}

// publish broadcasts a range of definitions; it may die between partitions, then the next one takes a range of its own.
func (w *world) publish() {
	w.republish()
	top := int64(len(w.defs))
	if w.pub >= top {
		return
	}
	from := w.pub + 1
	to := from + int64(w.n(int(top-w.pub)))
	d := w.definitions(from, to)
	if w.n(6) == 0 {
		d.All, d.Changed = true, nil
	}
	rec := usage.Record{Kind: usage.KindDefinitions, Definitions: d}
	for _, p := range w.r.Perm(w.parts) {
		if !w.quiet && w.n(6) == 0 {
			w.did("publisher killed between partitions")
			if w.faults.PublisherForgets {
				w.pub = to
			}
			return
		}
		w.append(int32(p), rec)
		if !w.quiet && w.n(8) == 0 {
			w.late = append(w.late, pendingUsage{int32(p), rec})
		}
	}
	w.pub = to
}

// republish repeats what a partition that has rated its whole log lacks: the broker has lost it.
func (w *world) republish() {
	for p, v := range w.pg {
		if act := v.c.ActivatedSeq; w.lost[p] && !w.stopped[p] && act < w.pub && v.c.Next == int64(len(w.usage[p])) && !w.faults.PublisherTrustsAcks {
			w.did("definitions published again")
			w.append(int32(p), usage.Record{Kind: usage.KindDefinitions, Definitions: w.definitions(act+1, w.pub)})
		}
	}
}

// definitions is the record of a range.
func (w *world) definitions(from, to int64) *usage.Definitions {
	d := usage.Definitions{From: from, To: to, PreviousHash: chainSum(from - 1), Hash: chainSum(to)}
	for s := from; s <= to; s++ {
		d.Links = append(d.Links, chainSum(s))
		if w.defs[s-1].demand == "" {
			d.Changed = append(d.Changed, w.defs[s-1].change)
		}
	}
	return &d
}

// Snapshot and Accounts make the world the rater's Definitions. What was decoded once is shared.
func (w *world) Snapshot(_ context.Context, seq int64) (*catalog.Snapshot, error) {
	seq = w.seen(seq)
	if len(w.snapshots) == 0 {
		none, err := catalog.NewSnapshot(nil)
		if err != nil {
			return nil, err
		}
		w.snapshots = append(w.snapshots, none)
	}
	for from := int64(len(w.snapshots)); from <= seq; from++ {
		s, err := w.snapshots[from-1].With(w.products(from-1, from), from)
		if err != nil {
			return nil, err
		}
		w.snapshots = append(w.snapshots, s)
	}
	if w.hidden > 0 && w.hidden <= seq && !w.checking {
		return w.snapshots[w.hidden-1].With(w.products(w.hidden, seq), seq)
	}
	return w.snapshots[seq], nil
}

// products are the rows of products and exchange rates among the definitions behind one up to another.
func (w *world) products(behind, to int64) []catalog.Row {
	var rows []catalog.Row
	for _, d := range w.defs[behind:to] {
		if d.row.Kind == catalog.KindProduct || d.row.Kind == catalog.KindExchangeRates {
			rows = append(rows, d.row)
		}
	}
	return rows
}

func (w *world) Accounts(_ context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	out := map[string]*catalog.Account{}
	for _, id := range ids {
		for next := id; next != ""; next = simParent[next] {
			a, err := w.account(seq, next)
			if err != nil {
				return nil, err
			}
			if a == nil {
				break
			}
			out[next] = a
		}
	}
	return out, nil
}

// simAccount is an account as of the last definition that concerns it.
type simAccount struct {
	id  string
	seq int64
}

func (w *world) account(seq int64, id string) (*catalog.Account, error) {
	var row catalog.Row
	var contracts []catalog.Row // in the order of the definitions: a later one of an id replaces an earlier one
	last := int64(0)
	for _, d := range w.defs[:w.seen(seq)] {
		if d.row.Seq == w.hidden && !w.checking {
			continue
		}
		switch {
		case d.row.Kind == catalog.KindAccount && d.row.ID == id:
			row, last = d.row, d.row.Seq
		case d.row.Kind == catalog.KindContract && d.price.account == id:
			contracts = slices.DeleteFunc(contracts, func(c catalog.Row) bool { return c.ID == d.row.ID })
			contracts, last = append(contracts, d.row), d.row.Seq
		}
	}
	if row.Seq == 0 {
		return nil, nil
	}
	key := simAccount{id, last}
	if a := w.accounts[key]; a != nil && w.hidden == 0 {
		return a, nil
	}
	a, err := catalog.DecodeAccount(row, contracts)
	if w.hidden == 0 {
		w.accounts[key] = a
	}
	return a, err
}

// seen is the newest definition that a read as of seq sees.
func (w *world) seen(seq int64) int64 {
	if w.faults.NewerDefinitions && !w.checking {
		return int64(len(w.defs))
	}
	return seq
}
