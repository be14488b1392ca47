package agree

import (
	"testing"
	"time"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/catalog/xlsx"
	"github.com/tollstream/tollstream/rater/price/oracle"
)

// TestPriceLists: what is exported of random catalogues as CSV and as a spreadsheet changes nothing when it is applied.
func TestPriceLists(t *testing.T) {
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixNano()
	tried := 0
	for seed := range uint64(1000) {
		c := oracle.Generate(seed, oracle.Options{})
		doc, err := catalog.ParseDocument("case.yaml", []byte(c.Document()))
		if err != nil {
			continue // TestOracle tells of those
		}
		changes, err := doc.Revise(catalog.Stored{}, now)
		if err != nil {
			continue
		}
		stored := catalog.Stored{Rows: map[catalog.Ref]catalog.Row{}}
		var rows []catalog.Row
		for _, c := range changes {
			row := catalog.Row{Ref: c.Ref, Seq: 1, Body: c.Body}
			rows, stored.Rows[c.Ref] = append(rows, row), row
		}
		sheet, err := catalog.ExportPrices(rows)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		text, err := sheet.CSV()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		book, err := xlsx.Write(sheet)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for name, data := range map[string][]byte{"prices.csv": text, "prices.xlsx": book} {
			list, err := xlsx.Document(name, data)
			if err == nil {
				err = list.Fill(stored.Rows)
			}
			if err != nil {
				t.Fatalf("seed %d: %s: %v\n%s", seed, name, err, text)
			}
			if changes, err := list.Revise(stored, now); err != nil || len(changes) > 0 {
				t.Fatalf("seed %d: %s changes %v, %v\n%s", seed, name, changes, err, text)
			}
		}
		tried++
	}
	if tried < 900 {
		t.Errorf("only %d cases had a document", tried)
	}
}
