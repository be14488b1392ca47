package catalog

import (
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// book is a catalogue in memory that documents are applied to, as the database adapter does it.
type book struct {
	rows map[Ref]Row
	seq  int64
}

func newBook() *book { return &book{rows: map[Ref]Row{}} }

func (b *book) stored() Stored {
	s := Stored{Rows: maps.Clone(b.rows), Holders: map[string][]Holder{}, RateOwners: map[string][]Ref{}, Users: map[Ref][]Ref{}}
	for ref, row := range b.rows {
		var def any
		switch ref.Kind {
		case KindProduct:
			def = new(productDef)
		case KindRateClass:
			def = new(rateClassDef)
		case KindPackage:
			def = new(packageDef)
		case KindAccount:
			def = new(accountDef)
		case KindContract:
			def = new(contractDef)
		default:
			continue
		}
		if err := unmarshal(row, def); err != nil {
			panic(err)
		}
		if a, ok := def.(*accountDef); ok {
			for _, i := range a.Identifiers {
				s.Holders[i.Value] = append(s.Holders[i.Value], Holder{a.ID, i.Start.startAt(), i.End.endAt()})
			}
		}
		if row.Deleted {
			continue
		}
		for _, used := range usesOf(def) {
			if used.Kind == kindRate {
				s.RateOwners[used.ID] = append(s.RateOwners[used.ID], ref)
			} else {
				s.Users[used] = append(s.Users[used], ref)
			}
		}
	}
	for _, owners := range s.RateOwners {
		slices.SortFunc(owners, compareRefs)
	}
	for _, holders := range s.Holders {
		slices.SortFunc(holders, func(a, b Holder) int { return strings.Compare(a.Account, b.Account) })
	}
	return s
}

func (b *book) apply(name, text string, now int64) ([]Change, error) {
	doc, err := ParseDocument(name, []byte(text))
	if err != nil {
		return nil, err
	}
	stored := b.stored()
	if needs := doc.Needs(); !needs.AllShared { // as the adapter reads no others
		maps.DeleteFunc(stored.Rows, func(ref Ref, _ Row) bool {
			return ref.Kind != KindAccount && ref.Kind != KindContract && !slices.Contains(needs.Shared, ref)
		})
	}
	changes, err := doc.Revise(stored, now)
	if err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		b.seq++
	}
	for _, c := range changes {
		b.rows[c.Ref] = Row{c.Ref, b.seq, c.Deleted, c.Body}
	}
	return changes, nil
}

func (b *book) must(t *testing.T, now int64, text string) []Change {
	t.Helper()
	changes, err := b.apply("catalog.yaml", text, now)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return changes
}

func (b *book) list() []Row { return slices.Collect(maps.Values(b.rows)) }

func (b *book) plan(t *testing.T, account string) *Plan {
	t.Helper()
	snap, err := NewSnapshot(b.list())
	if err != nil {
		t.Fatal(err)
	}
	var chain []*Account
	for account != "" {
		var contracts []Row
		for ref, row := range b.rows {
			var d contractDef
			if ref.Kind == KindContract && unmarshal(row, &d) == nil && d.Account == account {
				contracts = append(contracts, row)
			}
		}
		a, err := DecodeAccount(b.rows[Ref{KindAccount, account}], contracts)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, a)
		account = a.Parent
	}
	p, err := NewPlan(snap, chain)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func at(text string) int64 {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t.UnixNano()
}

var update = flag.Bool("update", false, "write the golden files of this package's tests")

var testNow = at("2026-11-22T12:00:00Z")

const whole = `
currency: USD
seller: {id: main, name: Example Ltd, country: DE}
products:
  - {id: api-calls, name: API calls, unit: request, identifiers: [api.requests],
     rates: [{model: graduated, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}
rate_classes:
  - {id: gold, rates: [{product: api-calls, model: per_unit, unit_price: 0.04, start: 2026-01-01}]}
packages:
  - {id: starter, products: [{product: api-calls, parent: null, rates: [{model: per_unit, unit_price: 0.08}]}]}
accounts:
  - {id: acme, name: Acme GmbH, parent: null, bill_to: self, currency: USD, time_zone: Europe/Berlin,
     cycle: {every: monthly, anchor_day: 1}, terms_days: 30, identifiers: ["+4930123"],
     products: [{product: api-calls, start: 2026-01-01, rates: []}],
     packages: [{package: starter, start: 2026-01-01, rates: []}]}
contracts:
  - {id: c-1, account: acme, start: 2026-01-01, end: 2027-01-01, rate_class: gold, rates: []}
`

func TestApplyExportApplyChangesNothing(t *testing.T) {
	b := newBook()
	if changes := b.must(t, testNow, whole); len(changes) != 6 {
		t.Fatalf("changes: %v", changes)
	}
	if changes := b.must(t, testNow+1, whole); len(changes) != 0 {
		t.Fatalf("the same document changed %v", changes)
	}
	y, err := ExportYAML(b.list())
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "export.yaml")
	if want, err := os.ReadFile(golden); err != nil || string(want) != string(y) {
		if *update {
			if err := os.WriteFile(golden, y, 0o644); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Errorf("export differs from %s (%v):\n%s", golden, err, y)
		}
	}
	j, err := ExportJSON(b.list())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"export.yaml": string(y), "export.json": string(j)} {
		if changes, err := b.apply(name, text, testNow+2); err != nil || len(changes) != 0 {
			t.Errorf("%s changed %v (%v)", name, changes, err)
		}
		fresh := newBook()
		if _, err := fresh.apply(name, text, testNow); err != nil {
			t.Errorf("%s into nothing: %v", name, err)
		}
		for ref, row := range fresh.rows {
			if string(row.Body) != string(b.rows[ref].Body) {
				t.Errorf("%s %v: %s\nwant %s", name, ref, row.Body, b.rows[ref].Body)
			}
		}
	}
}

// TestRefusals holds one document a case; it is applied on top of `whole`. Each wanted line must
// be among the issues.
func TestRefusals(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("testdata", "refused"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".want" {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			path := filepath.Join("testdata", "refused", e.Name())
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b := newBook()
			b.must(t, testNow, whole)
			_, err = b.apply(e.Name(), string(data), testNow)
			var issues *Issues
			if !errors.As(err, &issues) {
				t.Fatalf("not refused: %v", err)
			}
			golden := path + ".want"
			want, _ := os.ReadFile(golden)
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if strings.TrimSpace(string(want)) != err.Error() {
				t.Errorf("got:\n%s\nwant:\n%s", err, want)
			}
		})
	}
}

// TestBrokenDocuments: each of these documents has one mistake that people make. It is applied on top of `whole` and refused with
// the line, the path and what to do, in words that were read by somebody.
func TestBrokenDocuments(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "broken", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 100 {
		t.Errorf("only %d broken documents", len(paths))
	}
	first := map[string]string{} // by the document's text
	for _, path := range paths {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if other := first[string(data)]; other != "" {
			t.Errorf("%s is %s again", name, other)
		}
		first[string(data)] = name
		b := newBook()
		b.must(t, testNow, whole)
		_, err = b.apply(name, string(data), testNow)
		var issues *Issues
		if !errors.As(err, &issues) {
			t.Errorf("%s is not refused: %v", name, err)
			continue
		}
		for _, i := range issues.List {
			if i.Line == 0 || i.Path == "" && !strings.HasPrefix(name, "document-") {
				t.Errorf("%s: %s does not say where", name, i)
			}
		}
		golden(t, strings.TrimSuffix(path, ".yaml")+".want", err.Error()+"\n")
	}
}
