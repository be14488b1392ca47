package pg_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"

	"github.com/tollstream/tollstream/collector"
)

// focusColumns are the ones that the mapping of the bill reads.
var focusColumns = []string{"Id", "SubAccountId", "SkuPriceId", "PricingQuantity", "ChargePeriodStart", "RegionId", "ServiceName", "ResourceId"}

// bill is a row of a FOCUS file in Parquet.
type bill struct {
	ID       string    `parquet:"Id"`
	Account  *string   `parquet:"SubAccountId,optional"`
	Product  *string   `parquet:"SkuPriceId,optional"`
	Quantity [16]byte  `parquet:"PricingQuantity,decimal(12:38)"`
	Start    time.Time `parquet:"ChargePeriodStart,timestamp(microsecond)"`
	Region   *string   `parquet:"RegionId,optional"`
	Service  *string   `parquet:"ServiceName,optional"`
	Resource *string   `parquet:"ResourceId,optional"`
}

// TestFocusInEveryFormat: the rows of a real bill are the same events, to the last digit and with the same hashes, whatever they are
// written in: so every format gives the same invoice, and a bill that was read as CSV is recognised when it comes as Parquet.
func TestFocusInEveryFormat(t *testing.T) {
	const path = "../../../shared/data/focus/focus_sample.csv"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the FOCUS sample is not beside the checkout: %v", err)
	}
	config, err := os.ReadFile("../testdata/focus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	table, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]string, len(table)-1)
	for i, row := range table[1:] {
		for _, name := range focusColumns {
			rows[i] = append(rows[i], row[slices.Index(table[0], name)])
		}
	}
	w := newWorld(t)
	dir := t.TempDir()
	send := func(name, config string, content []byte) collector.RunResult {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		result, err := w.run(t.Context(), "focus", config, file, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return result
	}
	if first := send("bill.csv", string(config), content); first.Sent != 992 || first.Rejected != 8 {
		t.Fatalf("CSV: %+v", first)
	}
	_, want := w.log()
	for name, content := range map[string][]byte{"bill.csv.gz": zipped(t, content), "bill.csv.zst": squeezed(t, content)} {
		if result := send(name, string(config), content); !result.AlreadyDone {
			t.Errorf("%s is another file: %+v", name, result)
		}
	}
	as := func(format, layout string) string {
		old := "format: {type: delimited, delimiter: \",\", quote: '\"', header: true, null: \"NULL\"}"
		if !strings.Contains(string(config), old) {
			t.Fatal("the configuration has changed")
		}
		changed := strings.Replace(string(config), old, "format: "+format, 1)
		return strings.Replace(changed, `layout: "2006-01-02 15:04:05", time_zone: UTC`, layout, 1)
	}
	sheets := `layout: ["2006-01-02T15:04:05", "2006-01-02 15:04:05"], time_zone: UTC`
	for i, f := range []struct {
		name, config string
		content      []byte
	}{
		{"bill.json", as("{type: json, null: 'NULL'}", `layout: "2006-01-02 15:04:05", time_zone: UTC`), asJSON(t, rows, "[", ",\n", "]")},
		{"bill.ndjson", as("{type: ndjson, null: 'NULL'}", `layout: "2006-01-02 15:04:05", time_zone: UTC`), asJSON(t, rows, "", "\n", "\n")},
		{"bill.parquet", as("{type: parquet}", ""), asParquet(t, rows)},
		{"bill.xlsx", as("{type: xlsx, null: 'NULL'}", sheets), asSheet(t, rows)},
	} {
		config := strings.Replace(f.config, ", }", "}", 1)
		if result := send(f.name, config, f.content); result.Sent != 992 || result.Rejected != 8 {
			t.Fatalf("%s: %+v", f.name, result)
		}
		times, events := w.log()
		if len(events) != len(want) {
			t.Fatalf("%s: %d events, want %d", f.name, len(events), len(want))
		}
		for id, e := range events {
			if e.Hash != want[id].Hash || e.Quantity != want[id].Quantity || e.Time != want[id].Time || times[id] != i+2 {
				t.Fatalf("%s, %d times:\n got %+v\nwant %+v", f.name, times[id], e, want[id])
			}
		}
	}
}

func zipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func squeezed(t *testing.T, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(content, nil)
}

// asJSON writes the quantity as a number and the rest as texts.
func asJSON(t *testing.T, rows [][]string, before, between, after string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(before)
	for i, row := range rows {
		if i > 0 {
			b.WriteString(between)
		}
		object := map[string]any{}
		for k, name := range focusColumns {
			if object[name] = row[k]; name == "PricingQuantity" && row[k] != "NULL" {
				object[name] = json.Number(row[k])
			}
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	b.WriteString(after)
	return b.Bytes()
}

func asParquet(t *testing.T, rows [][]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[bill](&b, parquet.Compression(&parquet.Snappy))
	optional := func(text string) *string {
		if text == "NULL" || text == "" {
			return nil
		}
		return &text
	}
	for _, row := range rows {
		start, err := time.Parse(time.DateTime, row[4])
		if err != nil {
			t.Fatal(err)
		}
		out := bill{ID: row[0], Account: optional(row[1]), Product: optional(row[2]), Start: start, Region: optional(row[5]), Service: optional(row[6]), Resource: optional(row[7])}
		quantity, ok := new(big.Rat).SetString(row[3])
		if !ok {
			t.Fatalf("quantity %q", row[3])
		}
		quantity.Mul(quantity, new(big.Rat).SetInt64(1e12))
		if !quantity.IsInt() {
			t.Fatalf("quantity %q has more than 12 decimals", row[3])
		}
		n := new(big.Int).Set(quantity.Num())
		if n.Sign() < 0 {
			n.Add(n, new(big.Int).Lsh(big.NewInt(1), 128))
		}
		n.FillBytes(out.Quantity[:])
		if _, err := w.Write([]bill{out}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// asSheet writes quantities of up to 15 digits as numbers, and the beginning of a charge as a time.
func asSheet(t *testing.T, rows [][]string) []byte {
	t.Helper()
	f := excelize.NewFile()
	defer f.Close()
	set := func(line int, values []any) {
		cell, err := excelize.CoordinatesToCellName(1, line)
		if err == nil {
			err = f.SetSheetRow("Sheet1", cell, &values)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	header := make([]any, len(focusColumns))
	for i, name := range focusColumns {
		header[i] = name
	}
	set(1, header)
	for i, row := range rows {
		values := make([]any, len(row))
		for k := range row {
			values[k] = row[k]
		}
		start, err := time.Parse(time.DateTime, row[4])
		if err != nil {
			t.Fatal(err)
		}
		values[4] = start
		if digits := strings.TrimLeft(strings.ReplaceAll(row[3], ".", ""), "0-"); len(digits) <= 15 {
			quantity, err := json.Number(row[3]).Float64()
			if err != nil {
				t.Fatal(err)
			}
			values[3] = quantity
		}
		set(i+2, values)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
