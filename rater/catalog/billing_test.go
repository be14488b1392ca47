package catalog

import (
	"math/rand/v2"
	"testing"
	"time"
)

// changingPlan is of an account whose payer, cycle, package and contract begin and end in the first months of 2026.
func changingPlan(t *testing.T) *Plan {
	t.Helper()
	row := func(kind Kind, id, body string) Row { return Row{Ref: Ref{kind, id}, Seq: 1, Body: []byte(body)} }
	rate := func(id, more string) string {
		return `{"id":"` + id + `","model":"flat","currency":"EUR","amount":"1"` + more + `}`
	}
	snap, err := NewSnapshot([]Row{
		row(KindProduct, "calls", `{"id":"calls","rates":[`+rate("one", `,"end":"2026-02-03T10:00:00Z"`)+`,`+rate("two", `,"start":"2026-02-03T10:00:00Z"`)+`]}`),
		row(KindPackage, "k", `{"id":"k","products":[{"product":"calls","rates":[`+rate("inside", "")+`]}]}`),
		row(KindRateClass, "gold", `{"id":"gold","rates":[{"product":"calls",`+rate("golden", "")[1:]+`]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := DecodeAccount(row(KindAccount, "p", `{"id":"p","currency":"EUR","routing_key":"p","seller":"main","time_zone":"Europe/Berlin",
		"billing":[{"cycle":{"every":"monthly"},"time_zone":"Europe/Berlin"}]}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	child, err := DecodeAccount(row(KindAccount, "a", `{"id":"a","parent":"p","currency":"EUR","routing_key":"a","seller":"main",
		"billing":[{"cycle":{"every":"daily"}},{"cycle":{"every":"daily"},"bill_to":"parent","start":"2026-02-20T00:00:00Z"},{"cycle":{"every":"monthly"},"start":"2026-03-27T12:00:00Z"}],
		"packages":[{"package":"k","start":"2026-03-05T00:00:00Z","end":"2026-03-09T00:00:00Z"}]}`), []Row{
		row(KindContract, "c", `{"id":"c","account":"a","start":"2026-03-20T00:00:00Z","end":"2026-03-25T00:00:00Z","rate_class":"gold"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := NewPlan(snap, []*Account{child, parent})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestConstantInAPackage: a package that the account has not changes its price at a time of its own.
func TestConstantInAPackage(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: EUR
products: [{id: p, rates: [{model: flat, amount: 9}]}]
packages: [{id: k, products: [{product: p, rates: [{model: flat, amount: 1, end: 2026-05-05}, {model: flat, amount: 2, start: 2026-05-05}]}]}]
accounts: [{id: a}]`)
	p := b.plan(t, "a")
	product, change := p.Snapshot().Product("p"), at("2026-05-05T00:00:00Z")
	for when, want := range map[int64]Period{
		change - 1: {at("2026-05-01T00:00:00Z"), change}, change: {change, at("2026-06-01T00:00:00Z")},
	} {
		p.Resolve(product, "k", when)
		if from, until := p.Constant(product, "k", when); (Period{from, until}) != want {
			t.Errorf("in the package at %d: from %d until %d, want %v", when, from, until, want)
		}
		if from, until := p.Constant(product, "", when); (Period{from, until}) != (Period{at("2026-05-01T00:00:00Z"), at("2026-06-01T00:00:00Z")}) {
			t.Errorf("outside at %d: from %d until %d", when, from, until)
		}
	}
}

// TestRememberedAnswers: what a plan remembers is what a new one works out, and holds for as long as Constant says.
func TestRememberedAnswers(t *testing.T) {
	plan, random := changingPlan(t), rand.New(rand.NewPCG(1, 2))
	product := plan.Snapshot().Product("calls")
	begin := time.Date(2026, 1, 28, 0, 0, 0, 0, time.UTC)
	at := func() int64 { return begin.Add(time.Duration(random.IntN(70*24*60)) * time.Minute).UnixNano() }
	type answers struct {
		account, rate, pkg string
		period             Period
	}
	of := func(p *Plan, pkg string, t int64) (a answers) {
		account, period := p.Billing(t)
		answer, _ := p.Resolve(product, pkg, t)
		return answers{account.ID, answer.Rate.ID, answer.Package, period}
	}
	seen := map[answers]bool{}
	for range 1500 {
		pkg := []string{"", "k"}[random.IntN(2)]
		when := at()
		got := of(plan, pkg, when)
		seen[answers{account: got.account, rate: got.rate, pkg: got.pkg}] = true
		fresh := plan.Rebase(plan.Snapshot())
		if want := of(fresh, pkg, when); got != want {
			t.Fatalf("at %s remembered %+v, new %+v", time.Unix(0, when).UTC(), got, want)
		}
		from, until := plan.Constant(product, pkg, when)
		if from > when || until <= when {
			t.Fatalf("%s is not from %d to %d", time.Unix(0, when).UTC(), from, until)
		}
		for _, inside := range []int64{from, until - 1, from + random.Int64N(until-from)} {
			if other := of(fresh, pkg, inside); other != got {
				t.Fatalf("constant around %s, but at %s %+v, not %+v", time.Unix(0, when).UTC(), time.Unix(0, inside).UTC(), other, got)
			}
		}
	}
	for _, want := range []answers{
		{account: "a", rate: "one"}, {account: "a", rate: "two"}, {account: "p", rate: "two"}, {account: "p", rate: "inside", pkg: "k"}, {account: "p", rate: "golden"},
	} {
		if !seen[want] {
			t.Errorf("never %+v", want)
		}
	}
	if from, until := plan.Constant(product, "none", at()); from != until {
		t.Error("of a package that there is not something is remembered")
	}
	if known := *plan.billed.Load(); len(known) != billedSpans {
		t.Errorf("%d periods are remembered, want %d", len(known), billedSpans)
	}
}
