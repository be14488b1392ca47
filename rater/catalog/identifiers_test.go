package catalog

import (
	"fmt"
	"strings"
	"testing"
)

// TestIdentifierHistory: what was looked up before now keeps its answer.
func TestIdentifierHistory(t *testing.T) {
	b := newBook()
	history := func(account string) string {
		var parts []string
		for _, i := range b.plan(t, account).Account().Identifiers {
			parts = append(parts, fmt.Sprintf("%s [%s, %s)", i.Value, instantBound(i.Start), instantBound(i.End)))
		}
		return strings.Join(parts, ", ")
	}
	expect := func(account, want string) {
		t.Helper()
		if got := history(account); got != want {
			t.Errorf("%s: %s, want %s", account, got, want)
		}
	}
	refuse := func(now, text, want string) {
		t.Helper()
		if _, err := b.apply("c.yaml", text, at(now)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	const may, june, july = "2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"

	b.must(t, at(may), "currency: EUR\naccounts: [{id: a, identifiers: [x, {value: y, end: 2027-01-01}]}, {id: b}]")
	expect("a", "x [open, open), y [open, 2027-01-01T00:00:00Z)")

	refuse(june, "accounts: [{id: a, identifiers: [{value: x, end: 2026-05-15}]}]", "only an end in the future can move")
	refuse(june, "accounts: [{id: a, identifiers: [{value: x, start: 2026-05-15}]}]", "one account at a time")
	refuse(june, "accounts: [{id: b, identifiers: [x]}]", `"x" is an identifier of the account "a"`)

	// It changes hands in one document; an end that lies ahead moves.
	b.must(t, at(june), "accounts: [{id: a, identifiers: [{value: y, end: 2026-12-01}]}, {id: b, identifiers: [x]}]")
	expect("a", "x [open, 2026-06-01T00:00:00Z), y [open, 2026-12-01T00:00:00Z)")
	expect("b", "x [2026-06-01T00:00:00Z, open)")

	// Ended history stays, whatever later documents say.
	b.must(t, at(july), "accounts: [{id: a}]")
	expect("a", "x [open, 2026-06-01T00:00:00Z), y [open, 2026-07-01T00:00:00Z)")
	refuse(july, "accounts: [{id: a, identifiers: [{value: x, end: 2026-08-01}]}]", "cannot change from 2026-06-01 to 2026-08-01")

	// At the instant at which it ended, and later, it begins anew; what is said again changes nothing.
	const ends, again, later = "2026-07-02T00:00:00Z", "2026-07-03T00:00:00Z", "2026-09-01T00:00:00Z"
	b.must(t, at(may), "accounts: [{id: c, identifiers: [p, {value: q, end: 2026-07-02}, {value: r, end: 2026-08-01}, {value: s, start: 2026-09-01}, {value: u, start: 2026-07-02}]}]")
	b.must(t, at(ends), "accounts: [{id: c, identifiers: [{value: q, end: 2026-07-02}, {value: r, end: 2026-07-02}]}]")
	expect("c", "p [open, 2026-07-02T00:00:00Z), q [open, 2026-07-02T00:00:00Z), r [open, 2026-07-02T00:00:00Z)")
	b.must(t, at(ends), "accounts: [{id: c, identifiers: [p, {value: q, end: 2026-07-02}, {value: r, end: 2026-07-02}]}]")
	expect("c", "p [open, 2026-07-02T00:00:00Z), p [2026-07-02T00:00:00Z, open), q [open, 2026-07-02T00:00:00Z), r [open, 2026-07-02T00:00:00Z)")
	refuse(ends, "accounts: [{id: c, identifiers: [p, {value: q, end: 2026-08-01}]}]", "cannot change from 2026-07-02 to 2026-08-01")
	if changes := b.must(t, at(again), "accounts: [{id: c, identifiers: [p, {value: q, end: 2026-07-02}, {value: r, end: 2026-07-02}]}]"); len(changes) > 0 {
		t.Errorf("what is said again changes %v", changes)
	}
	b.must(t, at(again), "accounts: [{id: c}]")
	b.must(t, at(later), "accounts: [{id: c, identifiers: [p]}]")
	expect("c", "p [open, 2026-07-02T00:00:00Z), p [2026-07-02T00:00:00Z, 2026-07-03T00:00:00Z), p [2026-09-01T00:00:00Z, open), q [open, 2026-07-02T00:00:00Z), r [open, 2026-07-02T00:00:00Z)")

	// An account may have its own id as an identifier, for two times too.
	b.must(t, at(later), "accounts: [{id: own, identifiers: [{value: own, end: 2026-10-01}, {value: own, start: 2026-11-01}]}]")

	// A deleted account that comes back goes on from its history.
	b.must(t, at(july), "delete: [{kind: account, id: b}]")
	b.must(t, at("2026-08-01T00:00:00Z"), "accounts: [{id: b, identifiers: [x]}]")
	expect("b", "x [2026-06-01T00:00:00Z, 2026-07-01T00:00:00Z), x [2026-08-01T00:00:00Z, open)")
}
