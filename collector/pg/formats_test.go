package pg_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/ledger/money"
)

const mapped = `
mapping:
  id: {from: %q}
  account: {from: %q}
  product: {value: voice}
  quantity: {from: %q}
`

// writings are the same calls, written in each format.
var writings = []struct {
	name, format string
	paths        [3]any // of id, account and quantity
	before       string
	record       string // with id, account and quantity in this order
	between      string
	after        string
}{
	{"delimited", "{type: delimited, delimiter: ';'}", [3]any{"id", "caller", "seconds"}, "id;caller;seconds\n", "%s;%s;%s", "\n", "\n"},
	{"ndjson", "{type: ndjson}", [3]any{"id", "by.name", "for[0]"}, "", `{"id":%q,"by":{"name":%q},"for":[%s]}`, "\n", "\n"},
	{"array", "{type: json}", [3]any{"id", "by", "for"}, "[\n", `{"id":%q,"by":%q,"for":%s}`, ",\n", "]"},
	{"deep array", "{type: json, records: data.calls}", [3]any{"id", "by", "for"}, `{"count":2,"data":{"calls":[`, `{"id":%q,"by":%q,"for":%s}`, ",\n", `],"more":false}}`},
	{"xml", "{type: xml, record: calls/call}", [3]any{"@id", "by/name", "for"}, "<calls>", `<call id="%s"><by><name>%s</name></by><for>%s</for></call>`, "\n", "</calls>"},
	{"fixed", "{type: fixed, columns: [{name: id, start: 1, length: 8}, {name: by, start: 9, length: 10}, {name: for, start: 19, length: 18}]}", [3]any{"id", "by", "for"}, "", "%-8s%-10s%18s", "\n", "\n"},
}

func written(t *testing.T, i, n int, packed bool) (path string) {
	t.Helper()
	w := &writings[i]
	var b bytes.Buffer
	b.WriteString(w.before)
	for call := range n {
		if call > 0 {
			b.WriteString(w.between)
		}
		fmt.Fprintf(&b, w.record, fmt.Sprintf("c%d", call), fmt.Sprintf("acme-%d", call%7), fmt.Sprintf("%d.000000000001", call))
	}
	b.WriteString(w.after)
	path = filepath.Join(t.TempDir(), strings.ReplaceAll(w.name, " ", "-"))
	if packed {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		b = zipped
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func configOf(i int) string {
	w := &writings[i]
	return "format: " + w.format + fmt.Sprintf(mapped, w.paths[:]...)
}

// TestEachFormatGivesTheSameEvents: 12,000 calls in every format, plain and packed, stopped in the middle and gone on with, are the same
// 12,000 events; and packing does not make another file of a file.
func TestEachFormatGivesTheSameEvents(t *testing.T) {
	const n = 12_000
	w := newWorld(t)
	for i := range writings {
		name := "calls"
		for _, packed := range []bool{true, false} {
			path := written(t, i, n, packed)
			if !packed {
				again, err := w.run(t.Context(), name, configOf(i), path, nil)
				if err != nil || !again.AlreadyDone {
					t.Errorf("%s unpacked: %v %+v", writings[i].name, err, again.Run)
				}
				continue
			}
			ctx, stop := context.WithCancel(t.Context())
			first, err := w.run(ctx, name, configOf(i), path, func(p collector.Progress) {
				if p.Rows >= 1000 {
					stop()
				}
			})
			stop()
			if !errors.Is(err, context.Canceled) || first.Sent < 1000 || first.Sent == n {
				t.Fatalf("%s, stopped: %v %+v", writings[i].name, err, first.Run)
			}
			rest, err := w.run(t.Context(), name, configOf(i), path, nil)
			if err != nil || rest.State != collector.RunDone || first.Sent+rest.Sent != n || rest.Rejected != 0 {
				t.Fatalf("%s: %v %+v", writings[i].name, err, rest.Run)
			}
		}
	}
	times, events := w.log()
	if len(times) != n {
		t.Fatalf("%d different events, want %d", len(times), n)
	}
	hashes := map[uint64]bool{}
	for id, e := range events {
		if times[id] < len(writings) || times[id] > 2*len(writings) { // what was under way when it was stopped goes again
			t.Fatalf("event %s was sent %d times", e.ID, times[id])
		}
		var call int
		if _, err := fmt.Sscanf(e.ID, "c%d", &call); err != nil || e.Account != fmt.Sprintf("acme-%d", call%7) || e.Quantity != money.MustParse(fmt.Sprintf("%d.000000000001", call)) {
			t.Fatalf("%+v", e)
		}
		hashes[e.Hash] = true
	}
	if len(hashes) != n {
		t.Errorf("%d hashes of %d events", len(hashes), n)
	}
}
