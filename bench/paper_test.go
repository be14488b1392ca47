package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func paperReport() *report {
	r := &report{}
	for n, scale := range map[string]float64{subjectRated(10_000): 9, subjectRated(1_000_000): 1} {
		for part, v := range map[string]float64{partSelf: 2, "kafka": 1, "postgres": 0.5, "redis": 0.25} {
			r.add(measured(n+": processor, "+part, "µs/event", []float64{scale * v}).in(processorTable, n, part))
		}
		for part, v := range map[string]float64{partUsage: 100, partRated: 50, partWAL: 600} {
			r.add(measured(n+": "+part, "1/event", []float64{scale * v}).in(volumeTable, n, part))
		}
	}
	return r
}

// TestPaper: 400e9 a day are 4.63 million a second. At 2 µs and 60% used that is 15.4 cores of raters; 600 bytes of log are
// 2.78 GB/s, so 9.3 primaries; 4 bytes behind filters for 14e12 identities are 56 TB, so 340 machines of 256 GiB.
func TestPaper(t *testing.T) {
	p, err := newPaper(paperReport())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"raters: processors": 15.43, "PostgreSQL: log": 9.26, "duplicates behind filters: memory of raters": 339.5,
		"Redis: one thread a shard": 1.93, "Kafka: processors, 3 replicas": 15.43, "Kafka: disk, 45 days, 3 replicas": 450,
	}
	for _, d := range p.demands() {
		if w, ok := want[d.what]; ok && math.Abs(d.units-w) > w/100 {
			t.Errorf("%s: %v %s, want %v", d.what, d.units, d.unit, w)
		}
		delete(want, d.what)
	}
	if len(want) > 0 {
		t.Errorf("nothing is said of %v", want)
	}
	text, err := json.Marshal(paperReport())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "result.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := printPaper(path, &b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "What stands first breaks first: duplicates") {
		t.Error(b.String())
	}
	if _, err := newPaper(&report{}); err == nil {
		t.Error("a model from nothing")
	}
}
