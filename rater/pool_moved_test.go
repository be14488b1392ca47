package rater

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// sharing is a partition with accounts for which parent pays, whose definitions change, with what jobs read of it. What it stores is read
// back when it begins anew.
type sharing struct {
	benchStores
	t        *testing.T
	versions []*benchStores // by sequence number, from 1
	m        *machine
	log      []activity.Activity
	offset   int64
	sent     int
	lines    map[activity.ID][]LineState
	pools    map[activity.ID]PoolState
}

// newSharing begins with the first of the documents, each of which says all but the accounts' payer.
func newSharing(t *testing.T, documents ...string) *sharing {
	t.Helper()
	s := &sharing{t: t, m: newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})}
	for _, d := range documents {
		v, err := storesOf("currency: USD\naccounts:\n  - {id: parent}\n" + d)
		if err != nil {
			t.Fatalf("%v\n%s", err, d)
		}
		s.versions = append(s.versions, v)
	}
	return s
}

func (s *sharing) Snapshot(_ context.Context, seq int64) (*catalog.Snapshot, error) {
	return s.versions[seq-1].snap, nil
}

func (s *sharing) Accounts(ctx context.Context, seq int64, ids []string) (map[string]*catalog.Account, error) {
	return s.versions[seq-1].Accounts(ctx, seq, ids)
}

func (s *sharing) Lines(_ context.Context, _ Fence, families []activity.ID) (out []LineState, err error) {
	for _, id := range families {
		out = append(out, s.lines[id]...)
	}
	return out, nil
}

func (s *sharing) Pools(_ context.Context, _ Fence, pools []activity.ID) (out []PoolState, err error) {
	for _, id := range pools {
		if q, ok := s.pools[id]; ok {
			out = append(out, q)
		}
	}
	return out, nil
}

func (s *sharing) Sharing(_ context.Context, _ Fence, pool activity.ID, billed string, start int64) (out []activity.ID, err error) {
	for id, lines := range s.lines {
		if slices.ContainsFunc(lines, func(l LineState) bool {
			return l.Owed == billed && l.UsagePeriod.Start == start && hasShareOf(&l, pool)
		}) {
			out = append(out, id)
		}
	}
	return out, nil
}

func (s *sharing) Each(_ context.Context, q UsageQuestion, do func(int64, *activity.Activity) error) error {
	for i := range s.log {
		if a := &s.log[i]; q.asksFor(a) && int64(a.Index) < q.Below { // see step
			if err := do(int64(a.Index), a); err != nil {
				return err
			}
		}
	}
	return nil
}

// asksFor is all but the place of the activity.
func (q *UsageQuestion) asksFor(a *activity.Activity) bool {
	return slices.Contains(q.Accounts, a.Account) && (q.Product == "" || q.Product == a.Product) &&
		(q.From == 0 || a.EventTime >= q.From) && (q.To == 0 || a.EventTime < q.To)
}

func (s *sharing) EachCorrection(ctx context.Context, q UsageQuestion, do func(int64, *activity.Activity) error) error {
	return s.Each(ctx, q, func(offset int64, a *activity.Activity) error {
		if (a.Sent().Corrects == usage.EventName{}) {
			return nil
		}
		return do(offset, a)
	})
}

func (s *sharing) CorrectionsWaiting(_ context.Context, _ int32, account string, below int64, _ int) (out []RejectedUsage, err error) {
	for _, r := range s.m.rejected {
		if r.Reason == ReasonCorrectionWaits && r.Event.Account == account && r.Offset < below && !slices.Contains(s.m.answered, Skip{r.Offset, r.Index}) {
			out = append(out, r)
		}
	}
	return out, nil
}

func (s *sharing) LinesOfAccount(_ context.Context, _ int32, account string) ([]LineState, error) {
	return slices.DeleteFunc(s.states(), func(l LineState) bool { return l.Account != account }), nil
}

func (s *sharing) LinesSharing(_ context.Context, _ int32, owed, product string, start int64, limit int) ([]LineState, error) {
	lines := slices.DeleteFunc(s.states(), func(l LineState) bool { return l.Owed != owed || l.Product != product || l.UsagePeriod.Start != start })
	return lines[:min(limit, len(lines))], nil
}

func (s *sharing) SealsOn(_ context.Context, _ int32, accounts []string) (out []SealState, err error) {
	for _, account := range accounts {
		if seal := s.m.seals[account]; seal != nil {
			out = append(out, *seal)
		}
	}
	return out, nil
}

// states gives all lines, of those in memory as they are there.
func (s *sharing) states() (out []LineState) {
	for _, f := range s.m.families {
		out = f.states(out)
	}
	for id, lines := range s.lines {
		if s.m.families[id] == nil {
			out = append(out, lines...)
		}
	}
	slices.SortFunc(out, func(a, b LineState) int { return strings.Compare(a.Line.String(), b.Line.String()) })
	return out
}

// restart has another machine go on from what is stored.
func (s *sharing) restart() {
	s.lines, s.pools = s.stored()
	old := s.m
	s.m = newMachine(&Checkpoint{Last: old.last, ActivatedSeq: old.act, LogTime: old.logTime}, DefaultLimits().Window, Faults{})
	for _, marker := range old.markers {
		s.m.markers[marker.Account] = marker
	}
	s.m.open, s.m.seals, s.m.index, s.m.counts, s.m.rejected, s.m.answered = old.open, old.seals, old.index, old.counts, old.rejected, old.answered
}

func (s *sharing) stored() (map[activity.ID][]LineState, map[activity.ID]PoolState) {
	lines, pools := map[activity.ID][]LineState{}, map[activity.ID]PoolState{}
	for id, l := range s.lines {
		lines[id] = l
	}
	for id, q := range s.pools {
		pools[id] = q
	}
	for id, f := range s.m.families {
		if len(f.lines) > 0 {
			lines[id] = f.states(nil)
		}
	}
	for id, q := range s.m.pools {
		if q.scope != "" {
			pools[id] = q.state()
		}
	}
	return lines, pools
}

// step rates one record, and tells the changes of lines as "account charge", adjustments in brackets.
func (s *sharing) step(r usage.Record) string {
	s.t.Helper()
	in := &Input{Offset: s.offset, Time: benchStart + 40*24*benchHour, Value: usage.AppendRecord(nil, &r)}
	s.m.decode(in)
	if err := s.m.load(context.Background(), in, Fence{}, s, s); err != nil {
		s.t.Fatal(err)
	}
	rec, err := s.m.step(in)
	if err != nil {
		s.t.Fatal(err)
	}
	var read activity.Record
	if err := activity.Decode(activity.Append(nil, rec), &read); err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, a := range read.Activities {
		text := a.Account + " " + a.Charge.String()
		if a.Kind == activity.KindAdjustment {
			text = "(" + text + ")"
		}
		out = append(out, text)
		a.Index = int(s.offset)
		s.log = append(s.log, a)
	}
	for _, x := range read.Rejected {
		out = append(out, x.Reason)
	}
	s.offset++
	return strings.Join(out, ", ")
}

// use sends events "account product quantity day", each in a record of its own; with a fifth word, one that corrects that event.
func (s *sharing) use(texts string) string {
	s.t.Helper()
	var out []string
	for text := range strings.SplitSeq(texts, "; ") {
		f := strings.Fields(text)
		day, err := strconv.Atoi(f[3])
		if err != nil {
			s.t.Fatal(err)
		}
		s.sent++
		e := usage.Event{
			ID: fmt.Sprint("e", s.sent), Source: "s", Account: f[0], RoutingKey: "parent", Product: f[1], Quantity: money.MustParse(f[2]), Hash: uint64(s.sent),
			Time: benchStart + int64(day-1)*24*benchHour, Backfill: true,
		}
		if len(f) > 4 {
			e.Corrects = &usage.EventName{Source: "s", ID: f[4]}
		}
		out = append(out, s.step(usage.Record{Kind: usage.KindBatch, Events: []usage.Event{e}}))
	}
	return strings.Join(out, "; ")
}

func (s *sharing) activate(seq int64) {
	s.step(usage.Record{Kind: usage.KindDefinitions, Definitions: &usage.Definitions{From: seq, To: seq, Links: []uint64{0}, All: true}})
}

func (s *sharing) mark(account string, seq int64) int64 {
	s.step(usage.Record{Kind: usage.KindMarker, Marker: &usage.Marker{Account: account, Seq: seq, Attempt: 1}})
	return s.offset - 1
}

func (s *sharing) result(account string, seq, at int64) string {
	s.t.Helper()
	sum, err := (&Summing{s, s, s, s, 0}).Sum(s.t.Context(), SumQuestion{Account: account, Seq: seq, Under: s.m.markers[account].Under, Below: at, Closed: true})
	if err != nil || len(sum.Left)+len(sum.Closed) > 0 {
		s.t.Fatal(sum, err)
	}
	parts, err := sum.Results(account, seq, 1, at)
	if err != nil {
		s.t.Fatal(err)
	}
	out := ""
	for i := range parts {
		out = s.step(usage.Record{Kind: usage.KindResult, Result: &parts[i]})
	}
	return out
}

// settle sweeps lines of pools that wait for one, as the job does when all its accounts are rated anew.
func (s *sharing) settle(seq int64) string {
	var out []string
	lines, pools := s.stored()
	for id, q := range pools {
		if q.Seq >= 0 {
			continue
		}
		if q.Seq != -seq {
			s.t.Errorf("pool of %s waits because of definition %d", q.Scope, -q.Seq)
		}
		var families [][16]byte
		for family, list := range lines {
			if slices.ContainsFunc(list, func(l LineState) bool { return hasShareOf(&l, id) }) {
				families = append(families, family)
			}
		}
		slices.SortFunc(families, func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) })
		out = append(out, s.step(usage.Record{Kind: usage.KindSweep, Sweep: &usage.Sweep{Seq: seq, Families: families}}))
	}
	_, pools = s.stored()
	for _, q := range pools {
		if q.Seq < 0 {
			s.t.Error("a pool still waits")
		}
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

// amounts checks that lines are what was charged and pools what their lines have of them, and tells what each account's lines come to.
func (s *sharing) amounts() string {
	s.t.Helper()
	charged, lines := map[activity.ID]money.Decimal{}, map[activity.ID]money.Decimal{}
	of, names := map[string]money.Decimal{}, []string{}
	shares := map[activity.ID]money.Decimal{}
	used := map[activity.ID]money.Decimal{}
	for _, l := range s.states() {
		lines[l.Line] = l.Amount
		if _, known := of[l.Account]; !known {
			names = append(names, l.Account)
		}
		of[l.Account] = mustAdd(of[l.Account], l.Amount)
		segments, err := DecodeSegments(l.Segments)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, x := range segments {
			if !x.Pool.IsZero() {
				shares[x.Pool], used[x.Pool] = mustAdd(shares[x.Pool], x.Charged), mustAdd(used[x.Pool], x.State.Sum)
			}
		}
		if l.Events == 0 && l.RateLevel != LevelCorrection && !l.Amount.IsZero() {
			s.t.Errorf("a line of %s without usage", l.Amount)
		}
	}
	for i := range s.log {
		charged[s.log[i].Line] = mustAdd(charged[s.log[i].Line], s.log[i].Charge)
	}
	for id, amount := range lines {
		if charged[id] != amount {
			s.t.Errorf("a line of %s was charged %s", amount, charged[id])
		}
	}
	_, pools := s.stored()
	for id, q := range pools {
		segments, err := DecodePool(q.Segments)
		if err != nil {
			s.t.Fatal(err)
		}
		var sum money.Decimal
		for _, x := range segments {
			sum = mustAdd(sum, x.State.Sum)
		}
		if shares[id] != q.Amount || used[id] != sum {
			s.t.Errorf("a pool of %s for %s, its lines have %s for %s", q.Amount, sum, shares[id], used[id])
		}
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] += " " + of[name].String()
	}
	return strings.Join(names, ", ")
}

const (
	sharedPayers = "  - {id: a, parent: parent, bill_to: parent}\n  - {id: b, parent: parent, bill_to: parent}\n  - {id: c, parent: parent, bill_to: parent}\n"
	sharedTiers  = "tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]"
)

// sharedBook is a document with a product p, and contracts of account a.
func sharedBook(product, contract string) string {
	if contract != "" {
		contract = "contracts: [{id: c-a, account: a, start: 2026-01-01, rates: [" + contract + "]}]\n"
	}
	return sharedPayers + "products:\n" + product + contract
}

// parentContract is a document with a contract of who pays for all, whose tiers they share.
func parentContract(start string) string {
	return sharedPayers + "products: [{id: p, rates: [{model: per_unit, unit_price: 1}]}]\n" +
		"contracts: [{id: c, account: parent, start: " + start + ", rates: [{product: p, model: graduated, pool: invoice, " + sharedTiers + "}]}]\n"
}

// TestMovedShares: 100 units at 0.10, all above at 0.05, unless it says otherwise. Usage is sent, definitions change, more usage is sent
// behind the accounts' markers.
func TestMovedShares(t *testing.T) {
	p := func(rates string) string { return "  - {id: p, rates: [" + rates + "]}\n" }
	invoice := p("{model: graduated, pool: invoice, " + sharedTiers + "}")
	highest := func(pool string) string {
		return "{model: graduated, aggregation: max, pool: " + pool + ", tiers: [{up_to: 10, unit_price: 1}, {unit_price: 2}]}"
	}
	for _, c := range []struct {
		name, first, second string
		uses, behind        string
		accounts            string
		charged             string // behind the markers
		results, settled    string
		want                string
	}{
		{
			// a's 100 cost 8 by its own contract. b's are then the first 100 of the pool: 10 instead of 5.
			"out of a pool", sharedBook(invoice, ""), sharedBook(invoice, "{product: p, model: per_unit, unit_price: 0.08}"),
			"a p 100 5; b p 100 6", "", "a", "", "(a -2)", "(b 5)", "a 8, b 10",
		},
		{
			// Behind the marker 20 cost 1.6 by the contract, and b's 10 cost 0.05 each as long as a's 100 are in the pool.
			"with usage behind the marker", sharedBook(invoice, ""), sharedBook(invoice, "{product: p, model: per_unit, unit_price: 0.08}"),
			"a p 100 5; b p 100 6", "a p 20 7; b p 10 8", "a", "a 1.6; b 0.5", "(a -2)", "(b 5)", "a 9.6, b 10.5",
		},
		{
			// The contract begins a day earlier, so that the pool has two segments for a while. 100 of 105 units cost 0.10.
			"a rate that begins earlier", parentContract("2026-01-02"), parentContract("2026-01-01"),
			"a p 60 5; b p 30 6", "b p 15 7", "a b", "b 1.25", "; ", "", "a 6, b 4.25",
		},
		{
			// Everybody has tiers of his own: each 100 cost 10.
			"all out of it", sharedBook(invoice, ""), sharedBook(p("{model: graduated, "+sharedTiers+"}"), ""),
			// Behind the marker 10 are the first of b's own.
			"a p 100 5; b p 100 6", "b p 10 8", "a b", "b 1", "; (b 4.5)", "", "a 10, b 10.5",
		},
		{
			// a's 80 and b's 60 had tiers of their own; together 140 cost 12, of which 8 are a's.
			"into a pool", sharedBook(p("{model: graduated, "+sharedTiers+"}"), ""), sharedBook(invoice, ""),
			"a p 80 5; b p 60 6", "", "a b", "", "; (b -2)", "", "a 8, b 4",
		},
		{
			"into a pool, with usage behind the markers", sharedBook(p("{model: graduated, "+sharedTiers+"}"), ""), sharedBook(invoice, ""),
			"a p 80 5; b p 60 6", "a p 10 7; b p 20 7", "a b", // 10 and 20 are the first in the new pool: 1 and 2
			"a 1; b 2", // with a's 80 it holds 110: 8 − 0.5 more. b's 60: 3 instead of 6
			"(a -0.5); (b -3)", "", "a 8.5, b 5",
		},
		{
			// Of each account, then of all that are billed together.
			"from one pool into another", sharedBook(p("{model: graduated, pool: account, "+sharedTiers+"}"), ""), sharedBook(invoice, ""),
			"a p 80 5; b p 60 6", "", "a b", "", "; (b -2)", "", "a 8, b 4",
		},
		{
			// A contract from the middle of the month takes 50 of a's 150 out; 200 cost 15, all 250 17.5.
			"a part of a line", sharedBook(invoice, ""), strings.Replace(sharedBook(invoice, "{product: p, model: per_unit, unit_price: 0.08}"), "2026-01-01", "2026-01-15", 1),
			"a p 100 5; a p 50 20; b p 100 6", "", "a", "", "(a 1.5)", "", "a 14, b 5",
		},
		{
			// The largest is a's 12: 14, of which 2 are c's. Without it b's 5 is, of which c, to which the sweep comes first, takes what is missing.
			"the largest goes", sharedBook(p(highest("invoice")), ""), sharedBook(p(highest("invoice")), "{product: p, model: per_unit, aggregation: max, unit_price: 1}"),
			"c p 2 1; a p 12 5; b p 5 6", "", "a", "", "", "(c 3)", "a 12, b 0, c 5",
		},
		{
			// Without a's 12 b's 7 behind the marker are the largest.
			"the largest behind the marker is another's", sharedBook(p(highest("invoice")), ""), sharedBook(p(highest("invoice")), "{product: p, model: per_unit, aggregation: max, unit_price: 1}"),
			"c p 2 1; a p 12 5; b p 5 6", "b p 7 6", "a", "b 0", "", "(c 5)", "a 12, b 0, c 7",
		},
		{
			"the largest stays", sharedBook(p(highest("invoice")), ""), sharedBook(p(highest("invoice")), "{product: p, model: per_unit, aggregation: max, unit_price: 1}"),
			"b p 12 5; a p 5 6", "", "a", "", "(a 5)", "", "a 5, b 14",
		},
		{
			// By region: usage goes to other lines of the same pool, and none is left on the lines of before.
			"to another line of the pool", sharedBook(invoice, ""), sharedBook(strings.Replace(invoice, "id: p,", "id: p, group_by: [region],", 1), ""),
			"a p 80 5; b p 60 6", "a p 10 7", "a b", "a 0.5", "(a -8), (a 8); (b -4), (b 4)", "", "a 8.5, b 4",
		},
		{
			// 6 of p and 50 of q are 30, on p's line, and 101 of q alone still are, on q's.
			"a capacity", sharedCapacity(""), sharedCapacity("{product: p, model: per_unit, unit_price: 3}"),
			"a p 6 5; a q 50 6; b p 3 6", "a q 51 7", "a", "a 0", "(a -12), (a 30)", "", "a 48, b 10",
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " ", restart), func(t *testing.T) {
				s := newSharing(t, c.first, c.second)
				s.use(c.uses)
				s.activate(2)
				at := map[string]int64{}
				accounts := strings.Fields(c.accounts)
				for _, a := range accounts {
					at[a] = s.mark(a, 2)
				}
				if c.behind != "" {
					if got := s.use(c.behind); got != c.charged {
						t.Errorf("behind the markers %q is charged, want %q", got, c.charged)
					}
				}
				var results []string
				for _, a := range accounts {
					if restart {
						s.restart()
					}
					results = append(results, s.result(a, 2, at[a]))
					s.amounts()
				}
				if restart {
					s.restart()
				}
				if got := strings.Join(results, "; "); got != c.results {
					t.Errorf("results %q, want %q", got, c.results)
				}
				if got := s.settle(2); got != c.settled {
					t.Errorf("others are charged %q, want %q", got, c.settled)
				}
				if got := s.amounts(); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
			})
		}
	}
}

func sharedCapacity(contract string) string {
	products := ""
	for _, id := range []string{"p", "q"} {
		products += "  - {id: " + id + ", rates: [{id: plan, model: capacity, pool: account, tiers: [{price: 10, limits: {p: 5, q: 100}}, {price: 30, limits: {p: 10}}, {price: 70}]}]}\n"
	}
	return sharedBook(products, contract)
}

// TestCorrectionsInPools: where the largest quantity counts, or events do, the line is rated again without the event that is named.
func TestCorrectionsInPools(t *testing.T) {
	rate := func(aggregation string) string {
		return "  - {id: p, rates: [{model: graduated, aggregation: " + aggregation + ", pool: invoice, tiers: [{up_to: 2, unit_price: 5}, {unit_price: 1}]}]}\n"
	}
	for _, c := range []struct {
		aggregation, uses, correct string
		charged, result, settled   string
		want                       string
	}{
		// 2 × 5, then one more unit; without e1 b's 3 are what a's 4 were: b owes 11.
		{"max", "a p 4 5; b p 3 6", "a p -4 5 e1", "a 12; b 0", "(a -12), a 0", "(b 11)", "a 0, b 11"},
		{"max", "a p 4 5; b p 3 6; a p 1 6", "a p -4 5 e1", "a 12; b 0; a 0", "(a -1), a 0", "", "a 11, b 0"},
		{"max", "a p 4 5; b p 9 6", "a p -4 5 e1", "a 12; b 5", "(a -12), a 0", "(b 12)", "a 0, b 17"},
		// Three events are 11; two are 10, and the one that goes is the dearest.
		{"count", "a p 4 5; b p 3 6; a p 1 6", "a p -4 5 e1", "a 5; b 5; a 1", "(a -1), a 0", "", "a 5, b 5"},
	} {
		for _, restart := range []bool{false, true} {
			s := newSharing(t, sharedBook(rate(c.aggregation), ""), sharedBook(rate(c.aggregation), ""))
			if got := s.use(c.uses); got != c.charged {
				t.Errorf("%s: charged %q, want %q", c.aggregation, got, c.charged)
			}
			if got := s.use(c.correct); got != ReasonCorrectionWaits {
				t.Errorf("%s: the correction: %s", c.aggregation, got)
			}
			s.activate(2)
			at := s.mark("a", 2)
			if restart {
				s.restart()
			}
			if got := s.result("a", 2, at); got != c.result {
				t.Errorf("%s: result %q, want %q", c.aggregation, got, c.result)
			}
			if got := s.settle(2); got != c.settled {
				t.Errorf("%s: others are charged %q, want %q", c.aggregation, got, c.settled)
			}
			if got := s.amounts(); got != c.want {
				t.Errorf("%s: %s, want %s", c.aggregation, got, c.want)
			}
		}
	}
}

// seal closes January of whoever parent pays for.
func (s *sharing) seal() {
	s.step(usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: "parent", PeriodStart: benchStart, PeriodEnd: benchStart + 31*24*benchHour}})
}

// TestMovedSharesOnClosedInvoices: what is closed is corrected on the current invoice, by what each account's usage would have come to from the
// start.
func TestMovedSharesOnClosedInvoices(t *testing.T) {
	book := func(pool, contract string) string {
		return sharedBook("  - {id: p, group_by: [region], rates: [{model: graduated, pool: "+pool+", "+sharedTiers+"}]}\n", contract)
	}
	contract := "{product: p, model: per_unit, unit_price: 0.08}"
	for _, c := range []struct {
		name, first, second string
		uses, late          string // before the seal and behind it
		behind              string // the markers
		results             string // of a and of b
		want                string
	}{
		{
			// 150 × 0.08 instead of 12.5, and 10 × 0.08 instead of 0.5. Of b's own pool nothing changes.
			"an account's own pool", book("account", ""), book("account", contract), "a p 150 5; b p 100 6", "a p 10 7", "", "(a -0.5), (a 0.3); ", "a 12.8, b 10",
		},
		{
			// b's are the first 100 of the pool: 10 instead of 5.
			"out of a pool", book("invoice", ""), book("invoice", contract), "a p 150 5; b p 100 6", "", "", "(a -0.5); (b 5)", "a 12, b 10",
		},
		{
			// Late usage of b is beyond them: 0.5 as before. What comes behind the marker is charged as the seal has it: 0.5.
			"with late usage", book("invoice", ""), book("invoice", contract), "a p 150 5; b p 100 6", "a p 10 7; b p 10 8", "b p 10 9", "(a -0.5), (a 0.3); (b 5)", "a 12.8, b 11",
		},
		{
			// Of b's 60 40 were at 0.10; a's 80 leave 20 of them.
			"into a pool", book("line", ""), book("invoice", ""), "a p 80 5; b p 60 6", "", "", "; (b -2)", "a 8, b 4",
		},
		{
			"from one pool into another", book("account", ""), book("invoice", ""), "b p 60 5; a p 80 6", "", "", "(a -2); ", "a 6, b 6",
		},
		{
			// From the 15th a's are out of the pool: 50 × 0.08 instead of 50 × 0.05. b's are still behind 100.
			"a part of a line", book("invoice", ""), strings.Replace(book("invoice", contract), "2026-01-01", "2026-01-15", 1),
			"a p 100 5; a p 50 20; b p 100 6", "", "", "(a 1.5); ", "a 14, b 5",
		},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " ", restart), func(t *testing.T) {
				s := newSharing(t, c.first, c.second, c.second)
				s.use(c.uses)
				s.seal()
				if c.late != "" {
					s.use(c.late)
				}
				s.activate(2)
				at := []int64{s.mark("a", 2), s.mark("b", 2)}
				if c.behind != "" {
					s.use(c.behind)
				}
				var results []string
				for i, account := range []string{"a", "b"} {
					if restart {
						s.restart()
					}
					results = append(results, s.result(account, 2, at[i]))
				}
				if got := strings.Join(results, "; "); got != c.results {
					t.Errorf("results %q, want %q", got, c.results)
				}
				if got := s.amounts(); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if c.behind != "" {
					return
				}
				s.activate(3) // nothing is different any more
				for _, account := range []string{"b", "a"} {
					if got := s.result(account, 3, s.mark(account, 3)); got != "" {
						t.Errorf("again: %q", got)
					}
				}
			})
		}
	}
}

// TestSealedBeforeTheResult: up to the definitions of the seal results still change what is sealed, others' lines too.
func TestSealedBeforeTheResult(t *testing.T) {
	rate := "  - {id: p, group_by: [region], rates: [{model: graduated, pool: invoice, " + sharedTiers + "}]}\n"
	s := newSharing(t, sharedBook(rate, ""), sharedBook(rate, "{product: p, model: per_unit, unit_price: 0.08}"))
	s.use("a p 100 5; b p 100 6")
	s.activate(2)
	at := s.mark("a", 2)
	s.seal()
	if got := s.result("a", 2, at); got != "(a -2)" {
		t.Errorf("result %q", got)
	}
	if got := s.settle(2); got != "(b 5)" {
		t.Errorf("others are charged %q", got)
	}
	if got := s.amounts(); got != "a 8, b 10" {
		t.Errorf("%s", got)
	}
}

// TestLevelsTakePoolsAlong: a line that is priced anew because a level goes on takes its pools along. Until the 4th of February p costs 1 for each
// unit that was there all month, from then on a pays 0.10 for each unit used, and 0.20 under definition 2. No sweep comes to the line after that.
func TestLevelsTakePoolsAlong(t *testing.T) {
	book := func(unit string) string {
		return sharedPayers + "products: [{id: p, rates: [{model: per_unit, aggregation: time_weighted, unit_price: 1}]}]\n" +
			"contracts: [{id: c-a, account: a, start: 2026-02-05, rates: [{product: p, model: graduated, pool: account, tiers: [{unit_price: " + unit + "}]}]}]\n"
	}
	for _, c := range []struct {
		name, uses, charged string
		change              func(s *sharing) string
		want, lines         string
	}{
		// February's 10 + 4 become 12 + 4; 30 units cost 6 instead of 3.
		{"into a later period", "a p 10 1; a p 4 32; a p 30 37", "a 10; a 14; a 3", func(s *sharing) string { return s.use("a p 2 1") }, "a 2, (a 2), (a 3)", "a 34"},
		// February begins with 10.
		{"with a seal", "a p 10 1; a p 30 37", "a 10; a 3", func(s *sharing) string {
			return s.step(usage.Record{Kind: usage.KindSeal, Seal: &usage.Seal{Account: "parent", PeriodStart: benchStart, PeriodEnd: benchStart + 31*24*benchHour}})
		}, "(a 3), (a 10)", "a 26"},
	} {
		for _, restart := range []bool{false, true} {
			s := newSharing(t, book("0.10"), book("0.20"))
			if got := s.use(c.uses); got != c.charged {
				t.Errorf("%s: charged %q, want %q", c.name, got, c.charged)
			}
			s.activate(2)
			if restart {
				waiting := s.m.waiting
				s.restart()
				s.m.waiting = waiting
			}
			if got := c.change(s); got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
			if got := s.amounts(); got != c.lines {
				t.Errorf("%s: %s, want %s", c.name, got, c.lines)
			}
		}
	}
}

// TestSharedUsageIsLookedAt: what lines come to with what others share, before anything changes. What the others come to is asked for them.
func TestSharedUsageIsLookedAt(t *testing.T) {
	book := func(pool, contract string) string {
		return sharedBook("  - {id: p, rates: [{model: graduated, pool: "+pool+", "+sharedTiers+"}]}\n", contract)
	}
	for _, c := range []struct{ name, first, second, a, b string }{
		{"nothing changes", book("invoice", ""), book("invoice", ""), "12.5 12.5", "5 5"},
		{"out of the pool", book("invoice", ""), book("invoice", "{product: p, model: per_unit, unit_price: 0.08}"), "12.5 12", "5 10"},
		{"into one", book("account", ""), book("invoice", ""), "12.5 12.5", "10 5"},
		{"a part of it", book("invoice", ""), strings.Replace(book("invoice", "{product: p, model: per_unit, unit_price: 0.08}"), "2026-01-01", "2026-01-06", 1), "12.5 14", "5 5"},
	} {
		for _, sealed := range []bool{false, true} {
			s := newSharing(t, c.first, c.second)
			s.use("a p 100 5; a p 50 6; b p 100 6") // 12.5 and, of the pool's, 5
			if sealed {
				s.seal()
			}
			s.activate(2)
			for account, want := range map[string]string{"a": c.a, "b": c.b} {
				sum, err := (&Summing{s, s, s, s, 0}).Sum(t.Context(), SumQuestion{Account: account, Seq: 3, Under: 2, Below: s.offset, Closed: true, Shared: true})
				if err != nil || len(sum.Differences) != 1 {
					t.Fatal(c.name, sum, err)
				}
				if d := &sum.Differences[0]; d.Shared || d.Closed != sealed || fmt.Sprint(d.Before, " ", d.After) != want {
					t.Errorf("%s, %s, sealed %v: %+v, want %s", c.name, account, sealed, d, want)
				}
			}
		}
	}
}

// TestSharedByTooMany: what is too much to add up stays on closed invoices, with the reason, and is not known of open ones.
func TestSharedByTooMany(t *testing.T) {
	book := sharedBook("  - {id: p, rates: [{model: graduated, pool: invoice, "+sharedTiers+"}]}\n", "")
	for _, sealed := range []bool{false, true} {
		s := newSharing(t, book, book)
		s.use("a p 100 5; b p 100 6")
		if sealed {
			s.seal()
		}
		s.activate(2)
		many := manySharing{s}
		sum, err := (&Summing{s, s, many, s, 0}).Sum(t.Context(), SumQuestion{Account: "b", Seq: 2, Under: 2, Below: s.offset, Closed: true, Shared: true})
		switch {
		case err != nil:
			t.Fatal(err)
		case sealed && (!strings.Contains(sum.Closed["p"], "more than 1000 accounts") || len(sum.Corrections)+len(sum.Differences) > 0):
			t.Errorf("sealed: %+v", sum)
		case !sealed && (len(sum.Closed) > 0 || len(sum.Differences) != 1 || !sum.Differences[0].Shared):
			t.Errorf("not sealed: %+v", sum)
		}
	}
}

// manySharing has a thousand accounts more share.
type manySharing struct{ *sharing }

func (s manySharing) LinesSharing(ctx context.Context, partition int32, owed, product string, start int64, limit int) ([]LineState, error) {
	lines, err := s.sharing.LinesSharing(ctx, partition, owed, product, start, limit)
	for i := range mostSharing {
		l := lines[0]
		l.Account = fmt.Sprint("account-", i)
		lines = append(lines, l)
	}
	return lines, err
}

// TestCapacityOfAClosedInvoice: of one product of a capacity is asked for, and all that it counts decides.
func TestCapacityOfAClosedInvoice(t *testing.T) {
	tiers := func(first string) string {
		return strings.ReplaceAll(sharedCapacity(""), "{price: 10, limits: {p: 5, q: 100}}", "{price: "+first+", limits: {p: 5, q: 100}}")
	}
	s := newSharing(t, tiers("10"), tiers("20"))
	if got := s.use("a q 50 4; a p 3 5; a p 6 6"); got != "a 10; a 0; a 20" {
		t.Errorf("charged %q", got)
	}
	s.seal()
	s.activate(2)
	at := s.mark("a", 2)
	sum, err := (&Summing{s, s, s, s, 0}).Sum(t.Context(), SumQuestion{Account: "a", Seq: 2, Under: 2, Below: at, Product: "p", Closed: true})
	// q's 50 are 20 by now, and the step to 30 is 10 instead of 20.
	if err != nil || len(sum.Closed) > 0 || len(sum.Corrections) != 1 || sum.Corrections[0].Amount != money.MustParse("-10") {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestCorrectionInAClosedPool: the event is left out, and what others come to without it is corrected by a job of theirs behind it.
func TestCorrectionInAClosedPool(t *testing.T) {
	rate := "  - {id: p, rates: [{model: graduated, aggregation: max, pool: invoice, tiers: [{up_to: 2, unit_price: 5}, {unit_price: 1}]}]}\n"
	s := newSharing(t, sharedBook(rate, ""), sharedBook(rate, ""))
	s.use("a p 4 5; b p 3 6") // 2 × 5 and 2 × 1
	s.seal()
	if got := s.use("a p -4 5 e1"); got != ReasonCorrectionWaits {
		t.Errorf("the correction: %s", got)
	}
	s.activate(2)
	if got := s.result("a", 2, s.mark("a", 2)); got != "(a -12), a 0" {
		t.Errorf("result %q", got)
	}
	if got := s.result("b", 2, s.mark("b", 2)); got != "(b 11)" {
		t.Errorf("result of b %q", got)
	}
	if got := s.amounts(); got != "a 0, b 11" {
		t.Errorf("%s", got)
	}
}

// TestClosedPoolsFromTheStart: whatever is shared before and after, every account comes to what its usage below its marker comes to in the order
// of the log when the newer definitions are there from the start.
func TestClosedPoolsFromTheStart(t *testing.T) {
	rates := []string{
		"{model: graduated, pool: invoice, " + sharedTiers + "}",
		"{model: volume, pool: invoice, tiers: [{up_to: 50, unit_price: 1}, {up_to: 120, unit_price: 0.5, flat_price: 3}, {unit_price: 0.2}]}",
		"{model: graduated, aggregation: max, pool: invoice, tiers: [{up_to: 30, unit_price: 2}, {unit_price: 1}]}",
		"{model: graduated, aggregation: count, pool: invoice, tiers: [{up_to: 4, unit_price: 2}, {unit_price: 1}]}",
		"{model: package, size: 25, price: 3, included: 10, pool: account}",
		"{model: graduated, " + sharedTiers + "}",
	}
	contracts := []string{
		"", "{product: p, model: per_unit, unit_price: 0.08}", "{product: p, model: graduated, pool: invoice, tiers: [{up_to: 60, unit_price: 1}, {unit_price: 0.3}]}",
	}
	rapid.Check(t, func(r *rapid.T) {
		book := func() string {
			return sharedBook("  - {id: p, rates: ["+rapid.SampledFrom(rates).Draw(r, "rate")+"]}\n", rapid.SampledFrom(contracts).Draw(r, "contract"))
		}
		first, second := book(), book()
		s := newSharing(t, first, second)
		accounts := []string{"a", "b", "c"}
		var uses []string
		use := func(name string, most int) {
			for range rapid.IntRange(0, most).Draw(r, name) {
				u := fmt.Sprintf("%s p %d %d", rapid.SampledFrom(accounts).Draw(r, "account"), rapid.IntRange(1, 80).Draw(r, "quantity"), rapid.IntRange(1, 28).Draw(r, "day"))
				s.use(u)
				uses = append(uses, u)
			}
		}
		use("used", 12)
		s.seal()
		use("late", 4)
		s.activate(2)
		at, below := map[string]int64{}, map[string]int{}
		for _, account := range rapid.Permutation(accounts).Draw(r, "order of markers") {
			at[account], below[account] = s.mark(account, 2), len(uses)
			use("behind", 2)
		}
		want := map[string]money.Decimal{}
		for i := range s.log { // what is behind the marker is charged as the seal has it
			if a := &s.log[i]; int64(a.Index) > at[a.Account] {
				want[a.Account] = mustAdd(want[a.Account], a.Charge)
			}
		}
		for _, account := range rapid.Permutation(accounts).Draw(r, "order of results") {
			if rapid.Bool().Draw(r, "restart") {
				s.restart()
			}
			s.result(account, 2, at[account])
		}
		s.amounts()
		start := newSharing(t, second)
		for i, u := range uses {
			account := u[:1]
			before := len(start.log)
			start.use(u)
			for _, a := range start.log[before:] {
				if i < below[account] {
					want[account] = mustAdd(want[account], a.Charge)
				}
			}
		}
		got := map[string]money.Decimal{}
		for i := range s.log {
			got[s.log[i].Account] = mustAdd(got[s.log[i].Account], s.log[i].Charge)
		}
		for _, account := range accounts {
			if got[account] != want[account] {
				r.Errorf("%s comes to %s, from the start %s", account, got[account], want[account])
			}
		}
	})
}
