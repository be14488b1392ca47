package pg_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	"github.com/tollstream/tollstream/rater/rerate"
	reratepg "github.com/tollstream/tollstream/rater/rerate/pg"
)

const partitions = 2

// world is a database with definitions, of which the partitions' side is written by hand: what raters would commit.
type world struct {
	t     *testing.T
	pool  *pgxpool.Pool
	books *catalogpg.Store
	store *reratepg.Store
	log   [partitions]int64 // offsets that were written
	sent  []string          // control records, as they were written
	sums  map[string]error  // what summing up an account answers
	calls int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := &world{t: t, pool: pool, books: catalogpg.New(pool, time.Now), store: reratepg.New(pool), sums: map[string]error{}}
	for p := range partitions {
		w.exec("INSERT INTO rater_checkpoint (partition, epoch, owner, next_offset, last_offset) VALUES ($1, 1, gen_random_uuid(), 0, -1)", p)
		w.exec("INSERT INTO sink_position (source_partition, next_offset, last_offset) VALUES ($1, 0, -1)", p)
	}
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) apply(document string) int64 {
	w.t.Helper()
	doc, err := catalog.ParseDocument("catalog.yaml", []byte(document))
	if err != nil {
		w.t.Fatal(err)
	}
	result, err := w.books.Apply(w.t.Context(), doc)
	if err != nil {
		w.t.Fatal(err)
	}
	return result.Seq
}

func (w *world) demand(account string) int64 {
	w.t.Helper()
	seq, err := w.books.RateAnew(w.t.Context(), catalogpg.Demand{Account: account})
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

// used is a line of the account in November, priced under the first definitions.
func (w *world) used(account string, n byte) {
	id := pgtype.UUID{Bytes: [16]byte{n}, Valid: true}
	start, end := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixNano(), time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	w.exec(`INSERT INTO line VALUES ($1, $2, 0, $2, $2, $3, $3, 'main', 'calls', '', '[]', 'USD', $4, $5, $4, $5, 1, 1, 1, '', 1, 'product_default', '', 'r', 'per_unit', 1, $3)`,
		w.partitionOf(account), id, account, start, end)
}

func (w *world) partitionOf(account string) int32 { return usage.PartitionOf(account, partitions) }

// Broadcast and Ends are the log; Sum is what adds up.
func (w *world) Broadcast(_ context.Context, p int32, record []byte) error {
	var r usage.Record
	if err := usage.Decode(record, &r); err != nil {
		return err
	}
	at := w.log[p]
	w.log[p]++
	switch r.Kind {
	case usage.KindSweep:
		w.sent = append(w.sent, fmt.Sprintf("sweep %d of %d", r.Sweep.Seq, len(r.Sweep.Families)))
	case usage.KindMarker:
		m := r.Marker
		w.sent = append(w.sent, fmt.Sprintf("marker %d of %s", m.Seq, m.Account))
		w.exec(`INSERT INTO rater_marker AS r (partition, account, seq, attempt, at_offset, open, over, done_seq, parts, under_seq) VALUES ($1, $2, $3, $4, $5, true, false, 0, '{}', $3)
			ON CONFLICT (partition, account) DO UPDATE SET seq = excluded.seq, attempt = excluded.attempt, at_offset = excluded.at_offset, open = true, under_seq = excluded.under_seq
			WHERE (excluded.seq, excluded.attempt) > (r.seq, r.attempt) AND excluded.seq > r.done_seq`, p, m.Account, m.Seq, m.Attempt, at)
	case usage.KindResult:
		w.sent = append(w.sent, fmt.Sprintf("result %d of %s", r.Result.Seq, r.Result.Account))
		w.exec("UPDATE rater_marker SET open = false, done_seq = seq WHERE partition = $1 AND account = $2 AND seq = $3", p, r.Result.Account, r.Result.Seq)
	}
	return nil
}

func (w *world) Ends(context.Context) (map[int32]int64, error) {
	out := map[int32]int64{}
	for p, end := range w.log {
		out[int32(p)] = end
	}
	return out, nil
}

func (w *world) Sum(_ context.Context, a rerate.AccountJob, m rerate.Marker) (rerate.Summed, error) {
	w.calls++
	if err := w.sums[a.Account]; err != nil {
		return rerate.Summed{}, err
	}
	return rerate.Summed{Lines: 3, Changed: 2, Results: []usage.Result{{Account: a.Account, Seq: a.Seq, Attempt: m.Attempt, At: m.At, Part: 1, Parts: 1}}}, nil
}

func (w *world) Unanswered(_ context.Context, a rerate.AccountJob, _ rerate.Marker) ([]usage.Answer, error) {
	w.sent = append(w.sent, "nothing for "+a.Account)
	return nil, nil
}

func (w *world) Demand(ctx context.Context, x rerate.Waiting) error {
	w.sent = append(w.sent, fmt.Sprintf("demand for %s", x.Account))
	_, err := w.books.RateAnew(ctx, catalogpg.Demand{Account: x.Account, From: x.From, Until: x.Until})
	return err
}

// commit has the partitions commit everything that is in the log, under the newest definitions, and the sink take it.
func (w *world) commit(which ...int32) {
	seq, err := w.books.CurrentSeq(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range which {
		w.exec("UPDATE rater_checkpoint SET next_offset = $2::bigint, last_offset = $2::bigint - 1, activated_seq = $3 WHERE partition = $1", p, w.log[p], seq)
		w.exec("UPDATE sink_position SET last_offset = $2::bigint - 1 WHERE source_partition = $1", p, w.log[p])
	}
}

func (w *world) runner(owner string) *rerate.Runner { return w.faulty(owner, rerate.Faults{}) }

func (w *world) faulty(owner string, faults rerate.Faults) *rerate.Runner {
	return rerate.New(rerate.Config{Owner: owner, Partitions: partitions, Lease: time.Minute, Accounts: 2, Faults: faults}, w.store, definitions{w.books}, w, w, w,
		rerate.NewMetrics(prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
}

// definitions read the catalogue as a rater does.
type definitions struct{ *catalogpg.Store }

// steps lets the runners step in turn, all partitions commit between, until nothing is open.
func (w *world) steps(runners ...*rerate.Runner) {
	w.t.Helper()
	for n := range 200 {
		w.commit(0, 1)
		if _, err := runners[n%len(runners)].Step(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		if jobs, err := w.store.Jobs(w.t.Context(), 10); err != nil {
			w.t.Fatal(err)
		} else if len(jobs) == 0 {
			return
		}
	}
	w.t.Fatalf("jobs do not end; written was %q", w.sent)
}

func (w *world) progress(seq int64) reratepg.Progress {
	w.t.Helper()
	p, err := w.store.Progress(w.t.Context(), seq)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

const first = `
currency: USD
seller: {id: main}
products: [{id: calls, rates: [{model: per_unit, unit_price: 0.10}]}]
accounts: [{id: a}, {id: b}, {id: c}, {id: d}, {id: e}, {id: f}]
`

const backdated = `contracts: [{id: c-%s, account: %s, start: 2026-11-05, rates: [{product: calls, model: per_unit, unit_price: 0.0%d}]}]`

func TestLease(t *testing.T) {
	w := newWorld(t)
	hold := func(owner string, ttl time.Duration, want bool) {
		t.Helper()
		if held, err := w.store.Hold(t.Context(), owner, ttl); err != nil || held != want {
			t.Errorf("%s holds: %v, %v", owner, held, err)
		}
	}
	hold("one", time.Minute, true)
	hold("two", time.Minute, false)
	hold("one", time.Minute, true)
	if err := w.store.Release(t.Context(), "two"); err != nil { // not its own
		t.Fatal(err)
	}
	hold("two", time.Minute, false)
	w.exec("UPDATE rerate_lease SET until = clock_timestamp() - interval '1 second'")
	hold("two", time.Minute, true)
	hold("one", time.Minute, false)
	if err := w.store.Release(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	hold("one", time.Minute, true)
	if err := w.store.Break(t.Context()); err != nil {
		t.Fatal(err)
	}
	hold("two", time.Minute, true)
	if worked, err := w.runner("one").Step(t.Context()); worked || err != nil {
		t.Errorf("without the lease it worked: %v, %v", worked, err)
	}
}

// TestJobsInOrder: two definitions and a demand concern one account; it is rated anew once for each, in their order, whoever of two runners
// has the lease, and although every step may be taken by a runner that knows nothing of the one before.
func TestJobsInOrder(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	for i, account := range []string{"a", "b", "c", "d", "e"} {
		w.used(account, byte(i+1))
	}
	one := w.apply(fmt.Sprintf(backdated, "a", "a", 5))
	two := w.apply(`products: [{id: calls, rates: [{model: per_unit, unit_price: 0.20}]}]`) // prices only: b to e are swept
	three := w.demand("a")
	four := w.apply(fmt.Sprintf(backdated, "b", "b", 7))
	fresh := func(n int) *rerate.Runner { return w.runner(fmt.Sprint("runner ", n)) }
	for n := range 300 {
		w.commit(0, 1)
		if _, err := fresh(n).Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.exec("DELETE FROM rerate_lease")
		if jobs, err := w.store.Jobs(t.Context(), 10); err != nil {
			t.Fatal(err)
		} else if len(jobs) == 0 {
			break
		}
	}
	var done []string
	for _, s := range w.sent {
		if n := len(done); n == 0 || done[n-1] != s {
			done = append(done, s)
		}
	}
	of := func(account string) (out []string) {
		for _, s := range done {
			if s[len(s)-1:] == account {
				out = append(out, s)
			}
		}
		return out
	}
	marker := func(seq int64, account string) string { return fmt.Sprintf("marker %d of %s", seq, account) }
	result := func(seq int64, account string) string { return fmt.Sprintf("result %d of %s", seq, account) }
	if got, want := of("a"), []string{marker(one, "a"), result(one, "a"), marker(three, "a"), result(three, "a")}; !slices.Equal(got, want) {
		t.Errorf("of a: %q, want %q", got, want)
	}
	if got, want := of("b"), []string{marker(four, "b"), result(four, "b")}; !slices.Equal(got, want) {
		t.Errorf("of b: %q, want %q", got, want)
	}
	for seq, want := range map[int64]int64{one: 1, two: 0, three: 1, four: 1} {
		p := w.progress(seq)
		if p.Job.Phase != rerate.PhaseDone || p.Accounts != want || p.Ended != want || p.Failed != 0 || p.Lines != 3*want || p.Changed != 2*want || p.Done.IsZero() || p.Waits != nil {
			t.Errorf("job %d: %+v", seq, p)
		}
	}
	if p := w.progress(two); p.Job.Swept == 0 {
		t.Errorf("nothing was swept: %+v", p)
	}
}

// A job is demanded for an account with corrections that wait, over the periods of all of them, and no second one before it is done.
func TestCorrectionsAreDemanded(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	w.used("a", 1)
	at := time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC).UnixNano()
	for i, r := range []struct {
		account, reason, state string
		time                   int64
	}{
		{"a", "correction_waits", "open", at}, {"a", "correction_waits", "open", at - 9}, {"a", "correction_waits", "retried", at - 99},
		{"b", "no_rate", "open", at}, {"gone", "correction_waits", "open", at}, {"c", "correction_waits", "open", -5},
	} {
		w.exec(`INSERT INTO rejected_usage (partition, usage_offset, event_index, log_time, reason, state, retry, account, product, source, event_id, event_time, event, raw)
			VALUES (0, $1, 0, 1, $2, $3, false, $4, 'calls', 's', 'e', $5, '', '')`, i, r.reason, r.state, r.account, r.time)
	}
	list, err := w.store.Waiting(t.Context(), 10)
	want := []rerate.Waiting{{Account: "a", From: at - 9, Until: at + 1}, {Account: "c", From: 1, Until: 2}, {Account: "gone", From: at, Until: at + 1}}
	if err != nil || !slices.Equal(list, want) {
		t.Fatalf("%+v, %v, want %+v", list, err, want)
	}
	if list, err := w.store.Waiting(t.Context(), 1); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	w.exec("DELETE FROM rejected_usage WHERE account = 'c'")
	r := w.runner("one")
	for range 2 {
		w.commit(0, 1)
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	jobs, err := w.store.Jobs(t.Context(), 10)
	if err != nil || len(jobs) != 1 || !jobs[0].Demand || jobs[0].Account != "a" || jobs[0].From != at-9 || jobs[0].Until != at+1 {
		t.Errorf("jobs %+v, %v", jobs, err)
	}
	w.exec("DELETE FROM rejected_usage WHERE account = 'a'") // as its result does
	w.steps(r)                                               // an account that is gone is demanded nothing for
	if got := fmt.Sprint(w.sent); strings.Count(got, "demand for") != 1 || strings.Count(got, "result 2 of a") != 1 {
		t.Errorf("%s", got)
	}
}

// TestTwoRunners: one has the lease, the other does nothing until it takes over.
func TestTwoRunners(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	w.used("a", 1)
	seq := w.apply(fmt.Sprintf(backdated, "a", "a", 5))
	one, two := w.runner("one"), w.runner("two")
	w.commit(0, 1)
	if worked, err := one.Step(t.Context()); err != nil || !worked { // looks, and writes the marker
		t.Fatal(worked, err)
	}
	before := slices.Clone(w.sent)
	if worked, err := two.Step(t.Context()); worked || err != nil || !slices.Equal(before, w.sent) {
		t.Errorf("the other worked: %v, %v, %q", worked, err, w.sent)
	}
	w.exec("UPDATE rerate_lease SET until = clock_timestamp()") // one sleeps
	w.steps(two)
	if want := []string{fmt.Sprintf("marker %d of a", seq), fmt.Sprintf("result %d of a", seq)}; !slices.Equal(w.sent, want) {
		t.Errorf("written was %q, want %q", w.sent, want)
	}
	if worked, err := one.Step(t.Context()); worked || err != nil {
		t.Errorf("the one that slept: %v, %v", worked, err)
	}
}

// TestFailingAccount: what can never be done is said and ends; what fails once is done again; others are done all the same.
func TestFailingAccount(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	for i, account := range []string{"a", "b", "c"} {
		w.used(account, byte(i+1))
	}
	w.sums["b"] = fmt.Errorf("%w: too many lines", rerate.ErrNever)
	w.sums["c"] = errors.New("the report store is away")
	seq := w.apply(`contracts:
  - {id: c-a, account: a, start: 2026-11-05, rates: [{product: calls, model: per_unit, unit_price: 0.05}]}
  - {id: c-b, account: b, start: 2026-11-05, rates: [{product: calls, model: per_unit, unit_price: 0.05}]}
  - {id: c-c, account: c, start: 2026-11-05, rates: [{product: calls, model: per_unit, unit_price: 0.05}]}`)
	r := w.runner("one")
	failed := 0
	for range 12 {
		w.commit(0, 1)
		if _, err := r.Step(t.Context()); err != nil {
			failed++
		}
	}
	p := w.progress(seq)
	if failed == 0 || p.Job.Phase != rerate.PhaseAccounts || p.Accounts != 3 || p.Ended != 2 || p.Failed != 1 || !slices.Equal(p.Waits, []int32{w.partitionOf("c")}) {
		t.Errorf("while the store is away, %d failures: %+v", failed, p)
	}
	if settled, err := w.store.Settled(t.Context(), seq, []string{"a", "b"}); err != nil || !settled {
		t.Errorf("a and b are settled: %v, %v", settled, err)
	}
	if settled, err := w.store.Settled(t.Context(), seq, []string{"a", "c"}); err != nil || settled {
		t.Errorf("c is not settled: %v, %v", settled, err)
	}
	delete(w.sums, "c")
	w.steps(r)
	if p = w.progress(seq); p.Failed != 1 || p.Ended != 3 || !slices.Equal(p.Messages, []string{"b: given up: this cannot be rated anew: too many lines"}) || p.MessagesCount != 1 {
		t.Errorf("at the end: %+v", p)
	}
}

// TestStoppedPartition holds up what needs it, and nothing else.
func TestStoppedPartition(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	on := map[int32][]string{}
	for i, account := range []string{"a", "b", "c", "d", "e", "f"} {
		w.used(account, byte(i+1))
		on[w.partitionOf(account)] = append(on[w.partitionOf(account)], account)
	}
	if len(on[0]) == 0 || len(on[1]) < 3 {
		t.Fatalf("accounts by partition: %v", on)
	}
	w.commit(0, 1)
	r := w.runner("one")
	stopped, goes := int32(1), int32(0)
	beside := w.demand(on[goes][0])
	for range 10 {
		w.commit(goes)
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p := w.progress(beside); p.Job.Phase != rerate.PhaseDone || p.Ended != 1 {
		t.Errorf("an account beside: %+v", p)
	}
	// More accounts than are worked on in a step wait for the partition, and one whose id is behind theirs does not.
	var waits []int64
	for _, account := range on[stopped] {
		w.commit(0, 1)
		seq := w.demand(account)
		w.commit(0, 1) // it stops behind these definitions
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		waits = append(waits, seq)
	}
	last := on[goes][len(on[goes])-1]
	free := w.demand(last)
	for range 20 {
		w.commit(goes)
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p := w.progress(free); p.Job.Phase != rerate.PhaseDone {
		t.Errorf("account %s, behind those that wait: %+v; written was %q", last, p, w.sent)
	}
	if p := w.progress(waits[len(waits)-1]); p.Job.Phase != rerate.PhaseAccounts || !slices.Equal(p.Waits, []int32{stopped}) {
		t.Errorf("an account on it: %+v", p)
	}
	// A price that everybody has needs every partition, and what comes behind it says so.
	all := w.apply(`products: [{id: calls, rates: [{model: per_unit, unit_price: 0.30}]}]`)
	behind := w.demand(on[goes][0])
	for range 5 {
		w.commit(goes)
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p := w.progress(all); p.Job.Phase != rerate.PhaseLooking || !slices.Equal(p.Waits, []int32{stopped}) || p.Behind != 0 {
		t.Errorf("everybody's price: %+v", p)
	}
	if p := w.progress(behind); p.Behind != all || !slices.Equal(p.Waits, []int32{stopped}) {
		t.Errorf("the job behind it: %+v", p)
	}
	w.steps(r)
	if p := w.progress(behind); p.Job.Phase != rerate.PhaseDone {
		t.Errorf("when it goes on: %+v", p)
	}
}

// TestChangesWithoutPrices start no job.
func TestChangesWithoutPrices(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	for _, c := range []struct {
		document string
		want     bool
	}{
		{`accounts: [{id: a, name: A Ltd, terms_days: 14, identifiers: ["+491"], late: reject, class: gold}]`, false},
		{`products: [{id: calls, name: Calls, unit: call, identifiers: [tel], tax_code: t, rates: [{model: per_unit, unit_price: 0.10}]}]`, false},
		{`accounts: [{id: new}]`, false},
		{`rate_classes: [{id: gold, rates: [{product: calls, model: flat, amount: 1}]}]`, false},
		{`accounts: [{id: b, products: [{product: calls, rates: [{model: flat, amount: 1}]}]}]`, true},
		{`accounts: [{id: c, inherit_pricing: false}]`, true},
		{`contracts: [{id: c-1, account: d, start: 2026-01-01, rate_class: gold}]`, true},
	} {
		seq := w.apply(c.document)
		_, err := w.store.Progress(t.Context(), seq)
		if got := err == nil; got != c.want || err != nil && !errors.Is(err, reratepg.ErrNone) {
			t.Errorf("%s: a job %v (%v)", c.document, got, err)
		}
	}
}

// TestListOfJobs: the newest first, of all and of those that are not done, with who changed what and what the accounts say.
func TestListOfJobs(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	w.used("a", 1)
	w.used("b", 2)
	doc, err := catalog.ParseDocument("catalog.yaml", []byte(`{accounts: [{id: a, products: [{product: calls, rates: [{model: flat, amount: 1}]}]}], products: [{id: calls, rates: [{model: per_unit, unit_price: 0.2}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	doc.Author = "Anna"
	changed, err := w.books.Apply(t.Context(), doc)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := w.books.RateAnew(t.Context(), catalogpg.Demand{Account: "b", Product: "calls", From: 5, Until: 7, Author: "Bert"})
	if err != nil {
		t.Fatal(err)
	}
	list := func(below int64, open bool, limit int) (seqs []int64, all []reratepg.Progress) {
		t.Helper()
		all, err := w.store.List(t.Context(), below, open, limit)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			seqs = append(seqs, all[i].Job.Seq)
		}
		return seqs, all
	}
	seqs, all := list(0, true, 10)
	if !slices.Equal(seqs, []int64{asked, changed.Seq}) {
		t.Fatalf("open jobs %v", seqs)
	}
	if p := all[0]; p.Author != "Bert" || !p.Job.Demand || p.Job.Account != "b" || p.Job.Product != "calls" || p.Job.From != 5 || p.Job.Until != 7 || len(p.Definitions) != 0 || p.Behind != changed.Seq {
		t.Errorf("what was asked for: %+v", p)
	}
	want := []reratepg.Definition{{Ref: catalog.Ref{Kind: catalog.KindAccount, ID: "a"}}, {Ref: catalog.Ref{Kind: catalog.KindProduct, ID: "calls"}}}
	if p := all[1]; p.Author != "Anna" || p.Job.Demand || p.DefinitionsCount != 2 || !slices.Equal(p.Definitions, want) || !p.Done.IsZero() {
		t.Errorf("what definitions caused: %+v", p)
	}
	w.sums["b"] = fmt.Errorf("%w: too many lines", rerate.ErrNever)
	w.steps(w.runner("one"))
	if seqs, _ := list(0, true, 10); len(seqs) != 0 {
		t.Errorf("open jobs at the end: %v", seqs)
	}
	deleted := w.apply(`delete: [{kind: account, id: a}, {kind: account, id: c}, {kind: account, id: d}]`)
	w.exec("INSERT INTO rerate_job (seq, demand) VALUES ($1, false) ON CONFLICT DO NOTHING", deleted)
	for range 25 { // more accounts say something than are told of one job
		w.exec("INSERT INTO rerate_account VALUES ('x' || to_char((SELECT count(*) FROM rerate_account WHERE seq = $1), 'FM00'), $1, 0, '', 0, 0, false, 'failed', 'given up', 2, 1)", deleted)
	}
	if seqs, _ := list(0, false, 10); !slices.Equal(seqs, []int64{deleted, asked, changed.Seq}) {
		t.Errorf("all jobs %v", seqs)
	}
	if seqs, _ := list(deleted, false, 1); !slices.Equal(seqs, []int64{asked}) {
		t.Errorf("a page of them %v", seqs)
	}
	if seqs, _ := list(changed.Seq, false, 10); len(seqs) != 0 {
		t.Errorf("behind the last %v", seqs)
	}
	_, all = list(0, false, 10)
	if p := all[0]; len(p.Definitions) != 3 || !p.Definitions[0].Deleted || p.Failed != 25 || p.Lines != 50 || p.Changed != 25 || p.MessagesCount != 25 || len(p.Messages) != 20 || p.Messages[19] != "x19: given up" {
		t.Errorf("a job that says much: %+v", p)
	}
	if p := all[1]; p.Failed != 1 || !slices.Equal(p.Messages, []string{"b: given up: this cannot be rated anew: too many lines"}) || p.Done.IsZero() {
		t.Errorf("what was asked for, at the end: %+v", p)
	}
	accounts, err := w.store.JobAccounts(t.Context(), deleted, "x22", 1)
	if err != nil || len(accounts) != 1 || accounts[0].Account != "x23" || accounts[0].State != rerate.StateFailed || accounts[0].Changed != 1 {
		t.Errorf("an account: %+v, %v", accounts, err)
	}
}
