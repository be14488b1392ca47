package backtest_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/backtest"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/ratertest"
	"github.com/tollstream/tollstream/rater/sink"
)

// world is a partition that rates usage under a price book that changes, and what it rated, as a report store has it.
type world struct {
	t       *testing.T
	books   []map[catalog.Ref]catalog.Row // by sequence number, from 0
	parents map[catalog.Ref]string
	p       *rater.Partition
	offset  int64
	logTime int64
	stored  []sink.Stored
	rows    []sink.Row    // the same, as a sink inserts them
	periods []sink.Extent // of each

	summed, read int // sums and activities that were handed out
}

func instant(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// newWorld rates at the log time, under no price book yet.
func newWorld(t *testing.T, logTime string) *world {
	t.Helper()
	w := &world{t: t, books: []map[catalog.Ref]catalog.Row{{}}, parents: map[catalog.Ref]string{}, logTime: instant(logTime)}
	p, err := rater.Open(t.Context(), 0, rater.Stores{Store: ratertest.NewStore(), Definitions: w, Rated: w}, rater.DefaultLimits(), rater.Faults{},
		func() (id [16]byte) { _, _ = rand.Read(id[:]); return id })
	if err != nil {
		t.Fatal(err)
	}
	w.p = p
	return w
}

// Read implements rater.RatedLog: nobody else has rated.
func (w *world) Read(context.Context, int32, int64, int64) ([]rater.RatedEntry, int64, error) {
	return nil, 0, nil
}

// Snapshot implements rater.Definitions.
func (w *world) Snapshot(_ context.Context, seq int64) (*catalog.Snapshot, error) {
	empty, err := catalog.NewSnapshot(nil)
	if err != nil {
		return nil, err
	}
	var rows []catalog.Row
	for _, row := range w.books[seq] {
		rows = append(rows, row)
	}
	return empty.With(rows, seq)
}

// Accounts implements rater.Definitions.
func (w *world) Accounts(_ context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	found := map[string]*catalog.Account{}
	for _, id := range ids {
		for id != "" && found[id] == nil {
			row, ok := w.books[seq][catalog.Ref{Kind: catalog.KindAccount, ID: id}]
			if !ok || row.Deleted {
				break
			}
			var contracts []catalog.Row
			for ref, row := range w.books[seq] {
				if ref.Kind == catalog.KindContract && w.parents[ref] == id {
					contracts = append(contracts, row)
				}
			}
			a, err := catalog.DecodeAccount(row, contracts)
			if err != nil {
				return nil, err
			}
			found[id], id = a, a.Parent
		}
	}
	return found, nil
}

// Children implements backtest.Definitions.
func (w *world) Children(_ context.Context, account, after string, limit int) (ids []string, err error) {
	for ref, row := range w.books[len(w.books)-1] {
		if ref.Kind != catalog.KindAccount || row.Deleted || ref.ID <= after {
			continue
		}
		a, err := catalog.DecodeAccount(row, nil)
		if err != nil {
			return nil, err
		}
		if a.Parent == account {
			ids = append(ids, ref.ID)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), limit)], nil
}

// revise is what a document changes in the present price book.
func (w *world) revise(document string) []catalog.Change {
	w.t.Helper()
	doc, err := catalog.ParseDocument("book.yaml", []byte(document))
	if err != nil {
		w.t.Fatal(err)
	}
	changes, err := doc.Revise(catalog.Stored{Rows: w.books[len(w.books)-1]}, instant("2026-01-01T00:00:00Z"))
	if err != nil {
		w.t.Fatal(err)
	}
	return changes
}

// apply makes a document active, in the log, too.
func (w *world) apply(document string) {
	w.t.Helper()
	seq, next := int64(len(w.books)), map[catalog.Ref]catalog.Row{}
	for ref, row := range w.books[seq-1] {
		next[ref] = row
	}
	for _, c := range w.revise(document) {
		next[c.Ref] = catalog.Row{Ref: c.Ref, Seq: seq, Deleted: c.Deleted, Body: c.Body}
		w.parents[c.Ref] = c.Parent
	}
	w.books = append(w.books, next)
	hash := func(seq int64) uint64 { return uint64(seq) * 7 }
	w.rate(&usage.Record{Kind: usage.KindDefinitions, Definitions: &usage.Definitions{
		From: seq, To: seq, PreviousHash: hash(seq - 1), Hash: hash(seq), Links: []uint64{hash(seq)}, All: true,
	}})
}

func (w *world) seal(account, end string) {
	w.t.Helper()
	w.rate(&usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: account, PeriodEnd: instant(end)}})
}

// use sends events: "account product quantity@time", with "name=value" attributes behind, and the amount as "amount=5,USD".
func (w *world) use(events ...string) {
	w.t.Helper()
	record := usage.Record{Kind: usage.KindBatch}
	for i, text := range events {
		f := strings.Fields(text)
		quantity, at, _ := strings.Cut(f[2], "@")
		e := usage.Event{
			ID: fmt.Sprintf("e-%d-%d", w.offset, i), Source: "test", Account: f[0], RoutingKey: f[0], Product: f[1],
			Quantity: money.MustParse(quantity), Time: instant(at), Hash: uint64(w.offset)<<16 + uint64(i),
		}
		for _, attribute := range f[3:] {
			name, value, _ := strings.Cut(attribute, "=")
			if name == "amount" {
				amount, currency, _ := strings.Cut(value, ",")
				e.Amount, e.HasAmount, e.Currency = money.MustParse(amount), true, currency
				continue
			}
			e.Attributes = append(e.Attributes, usage.Attribute{Name: name, Value: value})
		}
		record.Events = append(record.Events, e)
	}
	w.rate(&record)
}

// rate rates a record and stores its activities, as they are read from `rated`.
func (w *world) rate(record *usage.Record) {
	w.t.Helper()
	value, err := w.p.Rate(w.t.Context(), &rater.Input{Offset: w.offset, LeaderEpoch: -1, Time: w.logTime, Value: usage.AppendRecord(nil, record)})
	if err != nil {
		w.t.Fatal(err)
	}
	var rec activity.Record
	if err := activity.Decode(value, &rec); err != nil {
		w.t.Fatal(err)
	}
	if len(rec.Rejected) > 0 {
		w.t.Fatalf("rejected: %+v", rec.Rejected)
	}
	w.offset++
	for i := range rec.Activities {
		a := &rec.Activities[i]
		w.rows = append(w.rows, sink.Row{Offset: rec.Offset, LogTime: rec.LogTime, Activity: *a})
		sent := a.Sent()
		w.stored = append(w.stored, sink.Stored{
			Place: sink.Place{Offset: rec.Offset, Index: a.Index}, Kind: a.Kind, Charge: a.Charge, Currency: a.Currency,
			Event: usage.Event{
				ID: a.EventID, Source: a.Source, Account: a.Account, Product: a.Product, Package: sent.EventPackage, Time: a.EventTime, Quantity: a.Quantity,
				HasAmount: sent.HasAmount, Amount: sent.Amount, Currency: sent.AmountCurrency, Attributes: a.Attributes,
			},
			AmountExchange: sent.AmountExchange, RateExchange: a.RateExchange, RateCurrency: a.RateCurrency, RateID: a.RateID,
		})
		w.periods = append(w.periods, sink.Extent{First: a.UsageStart, End: a.UsageEnd})
	}
}

// Extent implements sink.History, as do the following.
func (w *world) Extent(_ context.Context, q sink.HistoryQuery) (x sink.Extent, err error) {
	for i := range w.stored {
		if e := &w.stored[i].Event; (q.Account == "" || q.Account == e.Account) && q.From <= e.Time && e.Time < q.To {
			if x == (sink.Extent{}) {
				x = w.periods[i]
			}
			x = sink.Extent{First: min(x.First, w.periods[i].First), End: max(x.End, w.periods[i].End)}
		}
	}
	return x, q.Validate()
}

func (w *world) of(q sink.HistoryQuery) (list []sink.Stored) {
	for i := range w.stored {
		e := &w.stored[i].Event
		if (q.Account == "" || q.Account == e.Account) && q.Extent.First <= e.Time && e.Time < q.Extent.End && w.periods[i].First < q.To && w.periods[i].End > q.From &&
			(len(q.Products) == 0 || slices.Contains(q.Products, e.Product)) && (len(q.Accounts) == 0 || slices.Contains(q.Accounts, e.Account)) {
			list = append(list, w.stored[i])
		}
	}
	if !q.InLogOrder {
		slices.SortStableFunc(list, func(a, b sink.Stored) int { return strings.Compare(a.Event.Account, b.Event.Account) })
	}
	return list
}

func (w *world) AccountCounts(_ context.Context, q sink.HistoryQuery, after string, limit int) (counts []sink.AccountCount, err error) {
	for _, s := range w.of(q) {
		account := s.Event.Account
		switch n := len(counts); {
		case account <= after:
		case n > 0 && counts[n-1].Account == account:
			counts[n-1].Activities++
		case n == limit:
			return counts, nil
		default:
			counts = append(counts, sink.AccountCount{Account: account, Activities: 1})
		}
	}
	return counts, nil
}

func (w *world) History(_ context.Context, q sink.HistoryQuery, first, last string, each func(*sink.Stored) error) error {
	for _, s := range w.of(q) {
		if s.Event.Account < first || s.Event.Account > last {
			continue
		}
		w.read++
		if err := each(&s); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) Sums(_ context.Context, q sink.HistoryQuery, first, last string, names []string, each func(*sink.Summed) error) error {
	type key struct {
		account, product, pkg, values, currency string
		kind                                    activity.Kind
		period                                  sink.Extent
	}
	sums := map[key]*sink.Summed{}
	var order []*sink.Summed
	add := func(a, b money.Decimal) money.Decimal {
		sum, _ := a.Add(b) // what does not fit is wrong, as in a store whose numbers wrap around
		return sum
	}
	for i := range w.stored {
		s := &w.stored[i]
		e := &s.Event
		if q.Account != "" && q.Account != e.Account || e.Account < first || e.Account > last ||
			e.Time < q.Extent.First || e.Time >= q.Extent.End || w.periods[i].First >= q.To || w.periods[i].End <= q.From {
			continue
		}
		var values []usage.Attribute
		for _, name := range names {
			values = append(values, usage.Attribute{Name: name, Value: e.Attribute(name)})
		}
		k := key{e.Account, e.Product, e.Package, fmt.Sprint(values), s.Currency, s.Kind, w.periods[i]}
		sum := sums[k]
		if sum == nil {
			sum = &sink.Summed{
				Account: e.Account, Product: e.Product, Package: e.Package, Attributes: values, Currency: s.Currency, Kind: s.Kind, First: e.Time, Last: e.Time, Lowest: e.Quantity,
			}
			sums[k], order = sum, append(order, sum)
		}
		sum.Activities++
		sum.First, sum.Last = min(sum.First, e.Time), max(sum.Last, e.Time)
		sum.Quantity, sum.Magnitude, sum.Charge = add(sum.Quantity, e.Quantity), add(sum.Magnitude, e.Quantity.Abs()), add(sum.Charge, s.Charge)
		if s.Charge.Abs().Cmp(sum.Highest) > 0 {
			sum.Highest = s.Charge.Abs()
		}
		if e.Quantity.Cmp(sum.Lowest) < 0 {
			sum.Lowest = e.Quantity
		}
	}
	slices.SortStableFunc(order, func(a, b *sink.Summed) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Product, b.Product))
	})
	for _, sum := range order {
		w.summed++
		if err := each(sum); err != nil {
			return err
		}
	}
	return nil
}

// backtest rates the stored usage under a draft.
func (w *world) backtest(document, account, from, to string, limits backtest.Limits) *backtest.Result {
	w.t.Helper()
	return w.backtestOf(w, document, account, from, to, limits)
}

// backtestOf is backtest of a history of the world's usage.
func (w *world) backtestOf(history sink.History, document, account, from, to string, limits backtest.Limits) *backtest.Result {
	w.t.Helper()
	seq := int64(len(w.books) - 1)
	snapshot, err := w.Snapshot(w.t.Context(), seq)
	if err != nil {
		w.t.Fatal(err)
	}
	book, err := backtest.NewOverlay(w, snapshot, catalog.NewDraft(w.revise(document), seq))
	if err != nil {
		w.t.Fatal(err)
	}
	result, err := backtest.Run(w.t.Context(), history, book, backtest.Query{Account: account, From: instant(from), To: instant(to)}, limits, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return result
}

// text tells rows: account product currency events before after difference.
func text(rows []backtest.Row) string {
	var b strings.Builder
	for _, r := range rows {
		difference, err := r.Difference()
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&b, "%s %s %s %d: %s %s %s", r.Account, r.Product, r.Currency, r.Events, r.Before, r.After, difference)
		if r.Unrated > 0 {
			fmt.Fprintf(&b, ", unrated %d of %s", r.Unrated, r.UnratedBefore)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
