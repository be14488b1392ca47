package activity_test

import (
	"testing"

	"github.com/tollstream/tollstream/rater/activity"
)

// The identifiers are for ever: another value would bill twice. The figures were taken with the
// reference implementation of xxh3-128 over the joined parts.
func TestIdentifiersNeverChange(t *testing.T) {
	group := []activity.Attribute{{Name: "region", Value: "eu"}}
	invoice := activity.InvoiceID("main", "acme", 1793487600000000000)
	family := activity.FamilyID("main", "acme", "api-calls", "", group, "acme", 1793487600000000000)
	for _, test := range []struct {
		name string
		got  activity.ID
		want string
	}{
		{"invoice", invoice, "6ac7c1b6d1414d7097220db80c648a08"},
		{"family", family, "054eb2b503ab16d3b0f8af57e00f9f9d"},
		{"line", activity.LineID(family, invoice), "62dd73fda8615ddc0fe7ef18e276e268"},
	} {
		if test.got.String() != test.want {
			t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
		}
	}
}

func TestPartsAreKeptApart(t *testing.T) {
	one := []activity.Attribute{{Name: "a", Value: "b"}}
	two := []activity.Attribute{{Name: "a", Value: ""}, {Name: "b", Value: ""}}
	seen := map[activity.ID]int{}
	ids := []activity.ID{
		activity.InvoiceID("ab", "c", 1), activity.InvoiceID("a", "bc", 1), activity.InvoiceID("ab", "c", 2), activity.InvoiceID("", "abc", 1),
		activity.FamilyID("s", "a", "p", "", nil, "a", 1), activity.FamilyID("s", "a", "p", "", one, "a", 1),
		activity.FamilyID("s", "a", "p", "", two, "a", 1), activity.FamilyID("s", "a", "", "p", nil, "a", 1),
		activity.FamilyID("s", "a", "p", "", nil, "b", 1), activity.FamilyID("s", "a", "p", "", nil, "a", 2),
		activity.LineID(activity.ID{1}, activity.ID{2}), activity.LineID(activity.ID{2}, activity.ID{1}),
		activity.PoolID("s", "invoice", "", "p", "USD", "a", 1), activity.PoolID("s", "account", "", "p", "USD", "a", 1), activity.PoolID("s", "account", "p", "", "USD", "a", 1),
		activity.PoolID("s", "account", "", "p", "EUR", "a", 1), activity.PoolID("s", "account", "", "p", "USD", "b", 1), activity.PoolID("s", "account", "", "p", "USD", "a", 2),
	}
	for i, id := range ids {
		if j, ok := seen[id]; ok {
			t.Errorf("identifiers %d and %d are the same", i, j)
		}
		seen[id] = i
		if id.IsZero() {
			t.Errorf("identifier %d is zero", i)
		}
	}
}
