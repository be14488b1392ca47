package format

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// endless repeats a row for so many bytes.
type endless struct {
	row  string
	at   int
	left int64
}

func (e *endless) Read(b []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(int64(len(b)), e.left)], e.row[e.at:])
	e.at = (e.at + n) % len(e.row)
	e.left -= int64(n)
	return n, nil
}

// TestRowsMemory: a file of any size is read in the memory of a few rows.
func TestRowsMemory(t *testing.T) {
	f := DefaultDelimited()
	in := &endless{row: strings.Repeat("acme-17,\"1 500\",2026-11-21 10:00:00,\"x \"\"y\"\"\"\n", 1000), left: 48 << 20}
	rows := newRows(in, &f, Start)
	var row Row
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := 0; ; n++ {
		if err := rows.Next(&row); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 || len(rows.buffer) > 4*readBytes {
		t.Errorf("%d bytes more after 48 MiB, buffer of %d", grown, len(rows.buffer))
	}
	runtime.KeepAlive(rows)
}

func BenchmarkRowsAndMap(b *testing.B) {
	f := DefaultDelimited()
	line := "acme-17,1500,2026-11-21 10:00:00,eu\n"
	in := io.MultiReader(strings.NewReader("who,seconds,at,region\n"), &endless{row: strings.Repeat(line, 1000), left: int64(b.N+1) * int64(len(line))})
	m := &Mapping{
		Account: from("who"), Product: &Field{Value: "voice"},
		Quantity:   from("seconds", Step{Op: StepMultiply, By: money.MustParse("0.001")}),
		Time:       &Field{From: "at", Layouts: []string{"2006-01-02 15:04:05"}, Zone: time.UTC},
		Attributes: []Attribute{{"region", from("region")}},
	}
	mapper := NewMapper(m, f.Notation(), "0123456789abcdef0123456789abcdef")
	rows, err := f.Read(in)
	if err == nil {
		err = rows.Bind(mapper.Paths())
	}
	if err != nil {
		b.Fatal(err)
	}
	var row Row
	var events []usage.Sent
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for range b.N {
		if err := rows.Next(&row); err != nil {
			b.Fatal(err)
		}
		if events = mapper.Map(&row, events[:0]); len(events) != 1 {
			b.Fatal(row)
		}
	}
}
