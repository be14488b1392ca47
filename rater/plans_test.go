package rater

import (
	"strings"
	"testing"

	"github.com/zeebo/xxh3"
	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/rater/catalog"
)

// TestPlansAgainstMap does anything to the table and to a map.
func TestPlansAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, want := newPlans(), map[string]*catalog.Plan{}
		name := rapid.Custom(func(t *rapid.T) string {
			length := rapid.SampledFrom([]int{1, 2, 22, 23, 24, 60}).Draw(t, "length")
			return strings.Repeat("x", length-1) + rapid.StringN(1, 1, 1).Draw(t, "last")
		})
		for range rapid.IntRange(0, 400).Draw(t, "steps") {
			account := name.Draw(t, "account")
			if want[account] != nil && rapid.Bool().Draw(t, "drop") {
				table.drop(account)
				delete(want, account)
			} else if want[account] == nil {
				want[account] = &catalog.Plan{}
				table.keep(account, want[account])
			}
			if p := table.of(account); want[account] == nil && p != nil || want[account] != nil && (p == nil || p.plan != want[account]) {
				t.Fatalf("%q: %v, want %v", account, p, want[account])
			}
		}
		for account, plan := range want {
			p := table.of(account)
			if p == nil || p.plan != plan || !p.name.is(account) {
				t.Fatalf("%q: %v", account, p)
			}
			if guess := table.guess(xxh3.HashString(account)); guess != p { // no two of so few names have one hash
				t.Fatalf("%q: guessed %v", account, guess)
			}
		}
		if 2*table.used > len(table.slots) {
			t.Fatalf("%d of %d slots are used", table.used, len(table.slots))
		}
	})
}

// TestPlansOfOneHash: accounts whose hashes are the same are told apart by their names.
func TestPlansOfOneHash(t *testing.T) {
	table := newPlans()
	a, b := &catalog.Plan{}, &catalog.Plan{}
	table.keep("a", a)
	table.keep("b", b)
	at, _ := table.find("b")
	first := table.place(xxh3.HashString("a"))
	table.slots[at], table.slots[first] = planSlot{}, planSlot{xxh3.HashString("a"), &planned{name: shorten("b"), plan: b}}
	table.slots[table.after(first)] = planSlot{xxh3.HashString("a"), &planned{name: shorten("a"), plan: a}}
	if p := table.of("a"); p == nil || p.plan != a {
		t.Errorf("got %v", p)
	}
	if p := table.guess(xxh3.HashString("a")); p.name.is("a") || !p.name.is("b") {
		t.Errorf("guessed %v", p.name)
	}
}
