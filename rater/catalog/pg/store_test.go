package pg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/catalog"
)

func instant(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

// clock is the store's clock, set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = time.Unix(0, instant(text))
}

func newStore(t testing.TB) (*Store, *clock) {
	t.Helper()
	url := teststores.Postgres(t)
	ctx := context.Background()
	if err := schema.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	c := &clock{}
	c.set("2026-11-22T12:00:00Z")
	return New(pool, c.now), c
}

func parse(t testing.TB, text string) *catalog.Document {
	t.Helper()
	doc, err := catalog.ParseDocument("catalog.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func apply(t testing.TB, s *Store, text string) Result {
	t.Helper()
	result, err := s.Apply(context.Background(), parse(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func words(changes []catalog.Change) string {
	lines := make([]string, len(changes))
	for i, c := range changes {
		lines[i] = c.String()
	}
	return strings.Join(lines, "\n")
}

const base = `
currency: USD
seller: {id: main, name: Example Ltd, country: DE}
products:
  - {id: calls, unit: request, identifiers: [api.requests], rates: [{model: per_unit, unit_price: 0.10}]}
  - {id: storage, unit: GB, rates: [{model: per_unit, unit_price: 2}]}
rate_classes:
  - {id: gold, rates: [{product: calls, model: per_unit, unit_price: 0.04}]}
packages:
  - {id: starter, products: [{product: calls, rates: [{model: per_unit, unit_price: 0.08}]}]}
accounts:
  - {id: acme, time_zone: Europe/Berlin, identifiers: ["+4930123"], packages: [{package: starter, start: 2026-01-01}]}
  - {id: acme-lab, parent: acme, bill_to: parent, identifiers: [{value: "+4930999", start: 2026-01-01, end: 2027-01-01}]}
  - {id: acme-shop, parent: acme}
contracts:
  - {id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rate_class: gold}
`

func TestApplyIsIdempotent(t *testing.T) {
	s, _ := newStore(t)
	first := apply(t, s, base)
	if first.Seq != 1 || len(first.Changes) != 9 {
		t.Fatalf("seq %d, changes:\n%s", first.Seq, words(first.Changes))
	}
	if again := apply(t, s, base); again.Seq != 1 || len(again.Changes) != 0 {
		t.Fatalf("again: seq %d, changes:\n%s", again.Seq, words(again.Changes))
	}
	rows, err := s.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, export := range []func([]catalog.Row) ([]byte, error){catalog.ExportYAML, catalog.ExportJSON} {
		text, err := export(rows)
		if err != nil {
			t.Fatal(err)
		}
		if again := apply(t, s, string(text)); again.Seq != 1 || len(again.Changes) != 0 {
			t.Errorf("the export changed:\n%s\n%s", words(again.Changes), text)
		}
	}
	var count int
	if err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM definition").Scan(&count); err != nil || count != 9 {
		t.Errorf("%d rows, %v", count, err)
	}
}

func TestDiffSaysWhatApplyDoes(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	const change = `
products: [{id: calls, name: Calls, unit: request, rates: [{model: per_unit, unit_price: 0.11}]}]
accounts: [{id: acme-shop, parent: acme, cycle: {every: weekly}}]
delete: [{kind: contract, id: c-1}, {kind: rate_class, id: gold}]
`
	want := `changed product calls: identifiers, name, rates
changed account acme-shop: billing, cycle (billing from 2026-12-01T00:00:00Z)
deleted contract c-1
deleted rate_class gold`
	changes, err := s.Diff(t.Context(), parse(t, change))
	if err != nil || words(changes) != want {
		t.Errorf("diff %v:\n%s", err, words(changes))
	}
	if seq, err := s.CurrentSeq(t.Context()); seq != 1 || err != nil {
		t.Errorf("diff moved the sequence number to %d (%v)", seq, err)
	}
	if got := words(apply(t, s, change).Changes); got != want {
		t.Errorf("apply:\n%s", got)
	}
}

func TestApplyIsAllOrNothing(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	for name, text := range map[string]string{
		"used product":      `delete: [{kind: product, id: calls}]`,
		"used class":        `delete: [{kind: rate_class, id: gold}]`,
		"parent":            `delete: [{kind: account, id: acme}]`,
		"identifier taken":  `accounts: [{id: other}, {id: third, identifiers: ["+4930123"]}]`,
		"id is identifier":  `accounts: [{id: "+4930123"}]`,
		"identifier is id":  `accounts: [{id: other, identifiers: [acme]}]`,
		"overlapping class": "rate_classes: [{id: silver}]\ncontracts: [{id: c-2, account: acme, start: 2026-06-01, rate_class: silver}]",
		"moved":             `accounts: [{id: acme-lab, parent: acme-shop, bill_to: parent}]`,
		"circle":            `accounts: [{id: acme, time_zone: Europe/Berlin, parent: acme-shop}]`,
		"currency":          `accounts: [{id: acme-shop, parent: acme, currency: EUR}]`,
		"other's contract":  `contracts: [{id: c-1, account: acme-shop}]`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Apply(t.Context(), parse(t, text))
			var issues *catalog.Issues
			if !errors.As(err, &issues) {
				t.Errorf("not refused: %v", err)
			}
			t.Log(err)
		})
	}
	if seq, err := s.CurrentSeq(t.Context()); seq != 1 || err != nil {
		t.Errorf("the sequence number is %d (%v)", seq, err)
	}
}

func TestReadAsOfASequenceNumber(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	apply(t, s, `accounts: [{id: acme-shop, name: Shop, parent: acme}]`)
	apply(t, s, `delete: [{kind: contract, id: c-1}, {kind: account, id: acme-shop}]`)

	for seq, want := range map[int64]string{
		0: "",
		1: "acme 1 [c-1] ; acme-lab 1 [] ; acme-shop 1 []  1",
		2: "acme 1 [c-1] ; acme-lab 1 [] ; acme-shop 2 [] Shop 1",
		3: "acme 3 [] ; acme-lab 1 []  1",
	} {
		accounts, err := s.Accounts(t.Context(), seq, []string{"acme-lab", "acme-shop", "nobody"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, id := range []string{"acme", "acme-lab", "acme-shop"} {
			if a := accounts[id]; a != nil {
				var contracts []string
				for _, c := range a.Contracts {
					contracts = append(contracts, c.ID)
				}
				got = append(got, fmt.Sprintf("%s %d %v %s", a.ID, a.Seq, contracts, a.Name))
			}
		}
		snap, err := s.Snapshot(t.Context(), seq)
		if err != nil || snap.Seq() != seq {
			t.Fatalf("snapshot at %d: %v", seq, err)
		}
		text := strings.Join(got, "; ")
		if p := snap.Product("api.requests"); p != nil {
			text += fmt.Sprintf(" %d", p.Seq)
		}
		if text != want {
			t.Errorf("at %d: %q, want %q", seq, text, want)
		}
	}
}

func TestAdvanceReadsOnlyWhatChanged(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	one, err := s.Snapshot(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, `products: [{id: storage, rates: [{model: per_unit, unit_price: 3}]}]`)
	two, err := s.Advance(t.Context(), one, 2)
	if err != nil {
		t.Fatal(err)
	}
	if two.Seq() != 2 || two.Product("calls") != one.Product("calls") || two.Product("storage") == one.Product("storage") {
		t.Errorf("advance to %d did not share what stayed", two.Seq())
	}
	if one.Product("storage").Rates[0].UnitPrice.String() != "2" || two.Product("storage").Rates[0].UnitPrice.String() != "3" {
		t.Error("the older snapshot changed, or the newer did not")
	}
}

func TestResolveSubjectsAsOfTheirTime(t *testing.T) {
	s, c := newStore(t)
	apply(t, s, base)
	c.set("2026-12-24T10:00:00Z")
	apply(t, s, `accounts:
  - {id: acme, time_zone: Europe/Berlin, packages: [{package: starter, start: 2026-01-01}]}
  - {id: new-owner, identifiers: ["+4930123"]}`)
	apply(t, s, `delete: [{kind: account, id: acme-shop}]`)
	moved := instant("2026-12-24T10:00:00Z")
	for _, x := range []struct {
		value string
		at    int64
		want  string
	}{
		{"acme", 0, "acme/acme"},
		{"acme-lab", moved, "acme-lab/acme"}, // created while billed to acme
		{"+4930123", moved - 1, "acme/acme"},
		{"+4930123", moved, "new-owner/new-owner"},
		{"+4930999", instant("2025-12-31T23:59:59Z"), "/"},
		{"+4930999", instant("2026-01-01T00:00:00Z"), "acme-lab/acme"},
		{"+4930999", instant("2027-01-01T00:00:00Z"), "/"},
		{"acme-shop", 0, "/"},
		{"nobody", 0, "/"},
		{"", 0, "/"},
	} {
		found, err := s.ResolveSubjects(t.Context(), []Subject{{"nobody", 1}, {x.value, x.at}, {"acme", 5}})
		if err != nil {
			t.Fatal(err)
		}
		if got := found[1].Account + "/" + found[1].RoutingKey; got != x.want || found[2].Account != "acme" {
			t.Errorf("%q at %d: %q, want %q", x.value, x.at, got, x.want)
		}
		if x.at < found[1].From || x.at >= found[1].Until {
			t.Errorf("%q: %d is outside of [%d, %d)", x.value, x.at, found[1].From, found[1].Until)
		}
	}
}

func TestRoutingKeysOfAllThatAreOrWereBilled(t *testing.T) {
	s, c := newStore(t)
	apply(t, s, base)
	apply(t, s, `accounts: [{id: deep, parent: acme-lab, bill_to: parent}, {id: own, parent: acme-lab}]`)
	keys := func(account string) string {
		t.Helper()
		k, err := s.RoutingKeysBilledTo(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(k, " ")
	}
	if got := keys("acme"); got != "acme" {
		t.Errorf("before: %s", got)
	}
	c.set("2026-11-25T00:00:00Z")
	apply(t, s, `accounts: [{id: acme-shop, parent: acme, bill_to: parent}]`)
	if got := keys("acme"); got != "acme acme-shop" { // from December on, but its key stays its own
		t.Errorf("after: %s", got)
	}
	c.set("2027-03-01T00:00:00Z")
	apply(t, s, `accounts: [{id: acme-shop, parent: acme}]`)
	if got := keys("acme"); got != "acme acme-shop" {
		t.Errorf("what was billed once is forgotten: %s", got)
	}
}

// TestConcurrentApplies lets two documents race: both get in, with different numbers and a chain
// that holds.
func TestConcurrentApplies(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	var group sync.WaitGroup
	seqs := make([]int64, 8)
	for i := range seqs {
		doc := parse(t, fmt.Sprintf(`accounts: [{id: new-%d, parent: acme, identifiers: [n-%d]}]`, i, i))
		group.Go(func() {
			result, err := s.Apply(context.Background(), doc)
			if err != nil {
				t.Error(err)
			}
			seqs[i] = result.Seq
		})
	}
	group.Wait()
	seen := map[int64]bool{}
	for _, seq := range seqs {
		if seq < 2 || seq > 9 || seen[seq] {
			t.Fatalf("sequence numbers %v", seqs)
		}
		seen[seq] = true
	}
	d, err := definitionsAfter(t.Context(), s.pool, 0)
	if err != nil || d.From != 1 || d.To != 9 || len(d.Links) != 9 || len(d.Changed) != 9+8 {
		t.Errorf("%+v, %v", d, err)
	}

	// Two documents that cannot both hold: one is refused.
	errs := make([]error, 2)
	for i := range errs {
		doc := parse(t, fmt.Sprintf(`accounts: [{id: rival-%d, identifiers: [contested]}]`, i))
		group.Go(func() { _, errs[i] = s.Apply(context.Background(), doc) })
	}
	group.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("rivals: %v, %v", errs[0], errs[1])
	}
}

// TestManyAccounts applies a large document and then one account's change.
func TestManyAccounts(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	var b strings.Builder
	b.WriteString(`{"accounts": [`)
	const count = 6_000 // more than one record can name
	for i := range count {
		if i > 0 {
			b.WriteString(",\n")
		}
		fmt.Fprintf(&b, `{"id": "a-%d", "parent": "acme", "bill_to": "parent", "identifiers": ["n%d"], "packages": [{"package": "starter", "start": "2026-01-01"}]}`, i, i)
	}
	b.WriteString("]}")
	began := time.Now()
	doc, err := catalog.ParseDocument("large.json", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	parsed := time.Since(began)
	result, err := s.Apply(t.Context(), doc)
	if err != nil || len(result.Changes) != count {
		t.Fatalf("%d changes, %v", len(result.Changes), err)
	}
	applied := time.Since(began)
	began = time.Now()
	apply(t, s, `accounts: [{id: a-7, name: Seven, parent: acme, bill_to: parent, identifiers: ["n7"]}]`)
	one := time.Since(began)
	began = time.Now()
	if doc, err = catalog.ParseDocument("large.json", []byte(b.String())); err != nil {
		t.Fatal(err)
	}
	again, err := s.Apply(t.Context(), doc)
	if err != nil || len(again.Changes) != 1 {
		t.Fatalf("again: %d changes, %v", len(again.Changes), err)
	}
	t.Logf("parsed in %v, applied after %v, one account in %v, the same again in %v", parsed, applied, one, time.Since(began))
	d, err := definitionsAfter(t.Context(), s.pool, 1)
	if err != nil || !d.All || d.To != 2 || len(d.Changed) != 0 {
		t.Errorf("too much to name: %+v, %v", d, err)
	}
}
