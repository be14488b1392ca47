// Package invoicertest is a catalogue, line states and a report store in memory, for the tests of what shows
// invoices. The definitions are read and resolved by rater/catalog itself and priced by rater/price.
//
// Only tests import it.
package invoicertest

import (
	"cmp"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// World is everything that a Desk reads. Its members may be changed while nobody reads.
type World struct {
	T  testing.TB
	At time.Time // now

	mu       sync.Mutex
	rows     map[catalog.Ref]catalog.Row // the newest
	history  []catalog.Row               // all, in order
	applied  []time.Time                 // when, by sequence number, from 1
	parents  map[catalog.Ref]string
	names    map[string]string // identifier to account
	seq      int64
	lines    map[activity.ID]rater.LineState
	position int64

	Sealed  bool
	Charges []invoicer.DayCharge
	Asked   invoicer.DailyQuery // the last one
	Err     error               // what every read answers
}

// New applies a catalogue document.
func New(t testing.TB, at time.Time, document string) *World {
	t.Helper()
	w := &World{
		T: t, At: at, rows: map[catalog.Ref]catalog.Row{}, parents: map[catalog.Ref]string{}, names: map[string]string{},
		lines: map[activity.ID]rater.LineState{},
	}
	w.Apply(document)
	return w
}

// Apply applies another document; new definitions only.
func (w *World) Apply(document string) {
	w.T.Helper()
	doc, err := catalog.ParseDocument("catalog.yaml", []byte(document))
	if err != nil {
		w.T.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	stored := catalog.Stored{
		Rows: maps.Clone(w.rows), Holders: map[string][]catalog.Holder{}, RateOwners: map[string][]catalog.Ref{}, Users: map[catalog.Ref][]catalog.Ref{},
	}
	changes, err := doc.Revise(stored, w.At.UnixNano())
	if err != nil {
		w.T.Fatal(err)
	}
	w.seq++
	w.applied = append(w.applied, w.At)
	for _, c := range changes {
		w.rows[c.Ref] = catalog.Row{Ref: c.Ref, Seq: w.seq, Deleted: c.Deleted, Body: c.Body}
		w.history = append(w.history, w.rows[c.Ref])
		w.parents[c.Ref] = c.Parent
		if c.Account != nil {
			for _, i := range c.Account.Identifiers {
				w.names[i.Value] = c.ID
			}
		}
	}
}

// Desk is a desk over the world, with the live reader given.
func (w *World) Desk(live invoicer.Reader) *invoicer.Desk {
	return &invoicer.Desk{Definitions: w, Live: live, Durable: w, Tree: w, Daily: w, Now: w.Now}
}

// Now is the clock.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.At
}

// SetNow moves the clock, also while somebody reads.
func (w *World) SetNow(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.At = at
}

// Fail makes every read answer err; nil: they work again.
func (w *World) Fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Err = err
}

// Use rates a quantity at an instant onto its line, as a rater does.
func (w *World) Use(account, product, quantity string, at time.Time, group ...activity.Attribute) rater.LineState {
	w.T.Helper()
	plan := w.Plan(account)
	p := plan.Snapshot().Product(product)
	answer, refusal := plan.Resolve(p, "", at.UnixNano())
	if refusal != "" {
		w.T.Fatal(refusal)
	}
	billed, period := plan.Billing(at.UnixNano())
	w.mu.Lock()
	defer w.mu.Unlock()
	invoice := activity.InvoiceID(billed.Seller, billed.ID, period.Start)
	family := activity.FamilyID(billed.Seller, account, p.ID, answer.Package, group, billed.ID, period.Start)
	id := activity.LineID(family, invoice)
	l := w.lines[id]
	var state price.State
	if l.Events > 0 {
		segments, err := rater.DecodeSegments(l.Segments)
		if err != nil || len(segments) != 1 || segments[0].Rate != answer.Rate.ID {
			w.T.Fatalf("lines of one rate only: %v, %v", segments, err)
		}
		state = segments[0].State
	}
	rate := answer.Rate
	if rate.Matrix != nil {
		rate = rater.Selected(rate, &usage.Event{Attributes: group, Time: at.UnixNano()}, billed.ZoneAt(at.UnixNano()))
	}
	q := money.MustParse(quantity)
	state, err := price.Aggregate(rate, state, price.Input{Quantity: q})
	if err != nil {
		w.T.Fatal(err)
	}
	amount, err := price.LineTotal([]price.Segment{{Rate: rate, State: state, Cell: rate.Cell}})
	if err != nil {
		w.T.Fatal(err)
	}
	sum, err := l.Quantity.Add(q)
	if err != nil {
		w.T.Fatal(err)
	}
	w.position++
	l = rater.LineState{
		Family: family, Line: id, Invoice: invoice, Account: account, Billed: billed.ID, Seller: billed.Seller, Product: p.ID, Package: answer.Package,
		Group: group, Currency: answer.Rate.Currency, Period: period, UsagePeriod: period, Quantity: sum, Events: l.Events + 1, Amount: amount,
		Segments: segment(rate, state), Seq: w.seq, RateLevel: string(answer.Rate.Level), RateAccount: answer.Rate.OwnerAccount,
		RateID: answer.Rate.ID, RateModel: string(answer.Rate.Model), Version: w.position,
	}
	w.lines[id] = l
	return l
}

// Put stores a line as it is.
func (w *World) Put(l rater.LineState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines[l.Line] = l
}

// segment writes one segment in the raters' format, of a matrix with its cell.
func segment(r *catalog.Rate, s price.State) []byte {
	text := func(b []byte, t string) []byte { return append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	format := byte(1)
	if r.Cell != "" {
		format = 2
	}
	b := text(text(text([]byte{format, 1}, string(r.Owner.Kind)), r.Owner.ID), r.ID)
	b = binary.AppendVarint(binary.AppendVarint(b, r.Start), r.Seq)
	b = binary.AppendVarint(s.Sum.AppendBinary16(b), s.Events)
	if r.Cell != "" {
		b = text(append(b, 1), r.Cell)
	}
	return b
}

// Plan gives an account's plan under the newest definitions.
func (w *World) Plan(account string) *catalog.Plan { return w.planAt(account, w.seq) }

func (w *World) planAt(account string, seq int64) *catalog.Plan {
	w.T.Helper()
	snapshot, err := w.Snapshot(context.Background(), seq)
	if err != nil {
		w.T.Fatal(err)
	}
	accounts, err := w.Accounts(context.Background(), seq, []string{account})
	if err != nil {
		w.T.Fatal(err)
	}
	plan, err := catalog.PlanOf(snapshot, accounts, account)
	if err != nil {
		w.T.Fatal(err)
	}
	return plan
}

// rowsAt gives every definition as of seq.
func (w *World) rowsAt(seq int64) map[catalog.Ref]catalog.Row {
	rows := map[catalog.Ref]catalog.Row{}
	for _, row := range w.history {
		if row.Seq <= seq {
			rows[row.Ref] = row
		}
	}
	return rows
}

// Draft is a document laid over the newest definitions.
func (w *World) Draft(document string) (*catalog.Draft, error) {
	doc, err := catalog.ParseDocument("draft.yaml", []byte(document))
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	changes, err := doc.Revise(catalog.Stored{Rows: maps.Clone(w.rows)}, w.At.UnixNano())
	if err != nil {
		return nil, err
	}
	return catalog.NewDraft(changes, w.seq), nil
}

// SeqAt is the newest sequence number that was applied by the instant.
func (w *World) SeqAt(_ context.Context, t time.Time) (seq int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, at := range w.applied {
		if !at.After(t) {
			seq = int64(i + 1)
		}
	}
	return seq, w.Err
}

// CurrentSeq makes it, with SeqAt, Snapshot and Accounts, a Definitions.
func (w *World) CurrentSeq(context.Context) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seq, w.Err
}

// Snapshot compiles the shared definitions.
func (w *World) Snapshot(_ context.Context, seq int64) (*catalog.Snapshot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	empty, err := catalog.NewSnapshot(nil)
	if err != nil {
		return nil, err
	}
	return empty.With(slices.Collect(maps.Values(w.rowsAt(seq))), seq)
}

// Accounts reads accounts with their parents.
func (w *World) Accounts(_ context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows := w.rowsAt(seq)
	found := map[string]*catalog.Account{}
	for _, id := range ids {
		for id != "" && found[id] == nil {
			row, ok := rows[catalog.Ref{Kind: catalog.KindAccount, ID: id}]
			if !ok || row.Deleted {
				break
			}
			var contracts []catalog.Row
			for ref, row := range rows {
				if ref.Kind == catalog.KindContract && w.parents[ref] == id {
					contracts = append(contracts, row)
				}
			}
			a, err := catalog.DecodeAccount(row, contracts)
			if err != nil {
				return nil, err
			}
			found[id] = a
			id = a.Parent
		}
	}
	return found, w.Err
}

// Lineage is an account with its parents.
func (w *World) Lineage(ctx context.Context, account string) ([]string, error) {
	accounts, err := w.Accounts(ctx, w.seq, []string{account})
	var ids []string
	for id := account; accounts[id] != nil; id = accounts[id].Parent {
		ids = append(ids, id)
	}
	return ids, err
}

// Children makes it, with ResolveAccount, a Tree.
func (w *World) Children(_ context.Context, account, after string, limit int) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for ref, parent := range w.parents {
		if ref.Kind == catalog.KindAccount && parent == account && ref.ID > after {
			ids = append(ids, ref.ID)
		}
	}
	slices.Sort(ids)
	return ids[:min(len(ids), limit)], w.Err
}

// ResolveAccount knows ids and identifiers, whatever the time.
func (w *World) ResolveAccount(_ context.Context, name string, _ int64) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.rows[catalog.Ref{Kind: catalog.KindAccount, ID: name}]; ok {
		return name, w.Err
	}
	return w.names[name], w.Err
}

// Read makes it a Reader.
func (w *World) Read(_ context.Context, ref invoicer.Ref) (invoicer.View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	view := invoicer.View{RatedThrough: w.At.UnixNano(), Sealed: w.Sealed}
	for _, l := range w.lines {
		if l.Invoice == ref.ID {
			view.Lines = append(view.Lines, l)
			view.Version = max(view.Version, l.Version)
		}
	}
	slices.SortFunc(view.Lines, func(a, b rater.LineState) int { return cmp.Compare(b.Version, a.Version) })
	return view, w.Err
}

// DailyCharges answers Charges.
func (w *World) DailyCharges(_ context.Context, q invoicer.DailyQuery) ([]invoicer.DayCharge, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Asked = q
	return w.Charges, w.Err
}
