package catalog

import (
	"reflect"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
)

var dec = money.MustParse

// compiled applies a document with one product, "p", whose only rate is the given YAML, checks that what is exported means
// the same, and gives the rate.
func compiled(t *testing.T, rate string) *Rate {
	t.Helper()
	b := newBook()
	b.must(t, testNow, "currency: EUR\nproducts: [{id: p, rates: ["+rate+"]}]")
	y, err := ExportYAML(b.list())
	if err != nil {
		t.Fatal(err)
	}
	again := newBook()
	again.must(t, testNow, string(y))
	ref := Ref{KindProduct, "p"}
	if got, want := string(again.rows[ref].Body), string(b.rows[ref].Body); got != want {
		t.Fatalf("exported and applied again: %s\nwant %s\nfrom %s", got, want, y)
	}
	if changes := b.must(t, testNow, string(y)); len(changes) != 0 {
		t.Fatalf("the export changed %v:\n%s", changes, y)
	}
	p, err := decodeProduct(b.rows[ref])
	if err != nil || len(p.Rates) != 1 {
		t.Fatalf("%v, %v", p, err)
	}
	return p.Rates[0]
}

func TestBlocksCompiled(t *testing.T) {
	r := compiled(t, `{model: block_graduated, tiers: [{block_size: 100, max_blocks: 10, price: 1}, {block_size: 0.5, max_blocks: 3, price: 0}, {block_size: 1000, price: 0.2}]}`)
	want := []Block{
		{Size: dec("100"), Count: dec("10"), UpTo: dec("1000"), Price: dec("1")},
		{Size: dec("0.5"), Count: dec("3"), UpTo: dec("1001.5")},
		{Size: dec("1000"), Price: dec("0.2"), Last: true},
	}
	if r.Model != ModelBlockGraduated || !reflect.DeepEqual(r.Blocks, want) || r.Tiers != nil {
		t.Errorf("compiled to %s %+v and tiers %v", r.Model, r.Blocks, r.Tiers)
	}
	if v := compiled(t, `{model: block_volume, bounds: half_open, tiers: [{block_size: 1, price: 2}]}`); v.Model != ModelBlockVolume || !v.HalfOpenBounds {
		t.Errorf("compiled to %+v", v)
	}
}
