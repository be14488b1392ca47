package format

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// charge is a row as bills have them.
type charge struct {
	ID      string            `parquet:"id"`
	Account *string           `parquet:"account,optional"`
	Cost    int64             `parquet:"cost,decimal(10:18)"`
	Units   float64           `parquet:"units"` //nolint:forbidigo // as files have it
	Count   uint32            `parquet:"count"`
	At      time.Time         `parquet:"at,timestamp(microsecond)"`
	Local   int64             `parquet:"local,timestamp(millisecond:local)"`
	Day     int32             `parquet:"day,date"`
	Key     [16]byte          `parquet:"key,uuid"`
	Tags    map[string]string `parquet:"tags"`
	Parts   []int32           `parquet:"parts,list"`
	Usage   struct {
		Region string `parquet:"region"`
		Free   bool   `parquet:"free"`
	} `parquet:"usage"`
}

func parquetFile(t testing.TB, rows []charge, options ...parquet.WriterOption) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[charge](&b, options...)
	for i := range rows {
		if _, err := w.Write(rows[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if i%3 == 2 { // several row groups
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestParquet(t *testing.T) {
	acme := "acme"
	first := charge{
		ID: "c1", Account: &acme, Cost: -12_345, Units: 0.1, Count: 4_000_000_000, At: time.Date(2026, 11, 21, 10, 0, 0, 123456000, time.UTC),
		Local: time.Date(2026, 11, 21, 10, 0, 0, 500e6, time.UTC).UnixMilli(), Day: 20_778, Key: [16]byte{0x01, 0x23, 15: 0xff},
		Tags: map[string]string{"team": "red", "k8s.io/app": "web"}, Parts: []int32{7, 8},
	}
	first.Usage.Region, first.Usage.Free = "eu", true
	rows := []charge{first}
	for i := range 7 {
		rows = append(rows, charge{ID: "d" + string(rune('0'+i)), Cost: 10_000_000_000 * int64(i), At: time.Unix(0, 0)})
	}
	f := DefaultParquet()
	for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Snappy), parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1)} {
		file := parquetFile(t, rows, codec)
		check(t, "values", readRecords(t, &f, file, "id", "account", "cost", "units", "count", "at", "local", "day", "key")[:2],
			"1:c1|acme|-0.0000012345|0.1|4000000000|2026-11-21T10:00:00.123456Z|2026-11-21T10:00:00.5|2026-11-21|01230000-0000-0000-0000-0000000000ff",
			"2:d0||0.0000000000|0|0|1970-01-01T00:00:00Z|1970-01-01T00:00:00|1970-01-01|00000000-0000-0000-0000-000000000000")
		check(t, "nested", readRecords(t, &f, file, "usage.region", "usage.free", "tags.team", `tags["k8s.io/app"]`, "tags.none", "parts[1]", "parts[2]")[:2], "1:eu|true|red|web||8|", "2:|false|||||")
		check(t, "row groups", readRecords(t, &f, file, "id", "cost"), "1:c1|-0.0000012345", "2:d0|0.0000000000", "3:d1|1.0000000000", "4:d2|2.0000000000", "5:d3|3.0000000000", "6:d4|4.0000000000", "7:d5|5.0000000000", "8:d6|6.0000000000")
	}
	file := parquetFile(t, rows)
	check(t, "no such column", readRecords(t, &f, file, "idd"), `! mapping.x: the file has no "idd": there are "id", "account"…`)
	check(t, "a group", readRecords(t, &f, file, "usage"), `! mapping.x: "usage" is a group; it has "region", "free"`)
	check(t, "a list", readRecords(t, &f, file, "parts"), `! mapping.x: "parts" is a group; it has "list"`)
	check(t, "torn", readRecords(t, &f, file[:len(file)-20], "id"), "! the file is torn, or no Parquet file: …")
	check(t, "no Parquet", readRecords(t, &f, "id,cost\n1,2\n", "id"), "! the file is torn, or no Parquet file: …")
	check(t, "nothing", readRecords(t, &f, "", "id"), "! the file is torn, or no Parquet file: …")
	check(t, "no rows", readRecords(t, &f, parquetFile(t, nil), "id"))
	if _, err := f.Open(Once(strings.NewReader(file)), nil, Start); err == nil {
		t.Error("a stream has no end to begin at")
	}
}

// TestParquetDecimals: what two's complement says, worked out by hand.
func TestParquetDecimals(t *testing.T) {
	for _, c := range []struct {
		value parquet.Value
		scale int
		want  string
	}{
		{parquet.Int32Value(5), 0, "5"}, {parquet.Int32Value(-5), 1, "-0.5"}, {parquet.Int64Value(12345), 2, "123.45"}, {parquet.Int64Value(12), 5, "0.00012"},
		{parquet.FixedLenByteArrayValue([]byte{0xff, 0xff}), 2, "-0.01"}, {parquet.FixedLenByteArrayValue([]byte{0x7f, 0xff}), 3, "32.767"},
		{parquet.ByteArrayValue([]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0}), 0, "-2361183241434822606848"}, // -2^71
		{parquet.ByteArrayValue(nil), 2, "0.00"}, {parquet.Int32Value(5), -2, "500"},
	} {
		if got := decimalText(c.value, c.scale); got != c.want {
			t.Errorf("%v, %d decimals: %s, want %s", c.value, c.scale, got, c.want)
		}
	}
}

// TestParquetBrokenBytes: whatever byte of a file is another, reading ends with rows or an error.
func TestParquetBrokenBytes(t *testing.T) {
	acme := "acme"
	file := parquetFile(t, []charge{{ID: "c1", Account: &acme, Tags: map[string]string{"a": "b"}}, {ID: "c2"}})
	for i := range len(file) {
		for _, flip := range []byte{0x80, 0xff} {
			if testing.Short() && (i+int(flip))%8 != 0 {
				continue
			}
			broken := []byte(file)
			broken[i] ^= flip
			f := DefaultParquet()
			r, err := f.Open(Plain(bytes.NewReader(broken), int64(len(broken))), []Path{{Name: "id"}, {Name: "account"}, {Name: "tags.a"}}, Start)
			if err != nil {
				continue
			}
			var row Row
			for n := 0; err == nil; n++ {
				if err = r.Next(&row); n > 1000 {
					t.Fatalf("byte %d: no end", i)
				}
			}
			if !errors.Is(err, io.EOF) && err.Error() == "" {
				t.Errorf("byte %d: no reason", i)
			}
		}
	}
}
