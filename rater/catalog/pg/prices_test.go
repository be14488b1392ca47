package pg

import (
	"strings"
	"testing"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/catalog/xlsx"
)

func list(t *testing.T, text string) *catalog.Document {
	t.Helper()
	doc, err := xlsx.Document("prices.csv", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// TestPriceLists: they change the rates that they name and nothing else, and what is exported changes nothing.
func TestPriceLists(t *testing.T) {
	s, _ := newStore(t)
	apply(t, s, base)
	result, err := s.Apply(t.Context(), list(t, `level,owner,product,name,unit_price,start
,,storage,Storage,3,
rate_class,gold,storage,,2,
contract,c-1,calls,,0.01,2026-02-01
package_default,starter,calls,,0.07,
,,fax,Fax,1,
`))
	want := "created product fax\nchanged contract c-1: rates\nchanged package starter: products\nchanged product storage: name, rates\nchanged rate_class gold: rates"
	if got := words(result.Changes); err != nil || len(result.Changes) != 5 || !sameLines(got, want) {
		t.Fatalf("%v:\n%s", err, got)
	}
	rows, err := s.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := catalog.ExportPrices(rows)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sheet.CSV()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "contract,c-1,calls,,,USD,2026-02-01,") { // midnight in the account's zone
		t.Errorf("the contract's price is not there:\n%s", text)
	}
	book, err := xlsx.Write(sheet)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"prices.csv": text, "prices.xlsx": book} {
		doc, err := xlsx.Document(name, data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := s.Apply(t.Context(), doc); err != nil || len(again.Changes) > 0 || again.Seq != result.Seq {
			t.Errorf("%s changed, %v:\n%s", name, err, words(again.Changes))
		}
	}
	for text, want := range map[string]string{
		"level,owner,product,unit_price\ncontract,c-9,calls,1\n":    `prices.csv:2: owner (column B): names the contract "c-9", which does not exist`,
		"level,owner,product,unit_price\nrate_class,gold,telex,1\n": `prices.csv:2: product (column C): names the product "telex", which does not exist`,
	} {
		if _, err := s.Apply(t.Context(), list(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func sameLines(a, b string) bool {
	for _, line := range strings.Split(b, "\n") {
		if !strings.Contains("\n"+a+"\n", "\n"+line+"\n") {
			return false
		}
	}
	return strings.Count(a, "\n") == strings.Count(b, "\n")
}
