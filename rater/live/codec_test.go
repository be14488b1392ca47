package live_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/live"
)

func FuzzDecode(f *testing.F) {
	full, empty := lineState(1, 0, 1<<62), rater.LineState{}
	f.Add(string(live.Encode(&full)))
	f.Add(string(live.Encode(&empty)))
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		line, err := live.Decode(value)
		if err != nil {
			return
		}
		encoded := live.Encode(&line)
		again, err := live.Decode(string(encoded))
		if err != nil || !reflect.DeepEqual(line, again) {
			t.Fatalf("%+v came back as %+v, %v", line, again, err)
		}
		if !bytes.Equal(live.Encode(&again), encoded) {
			t.Fatal("encoding is not stable")
		}
	})
}

func TestDecodeRefusesOtherFormats(t *testing.T) {
	line := lineState(1, 0, 5)
	good := string(live.Encode(&line))
	for i := range good {
		if _, err := live.Decode(good[:i]); err == nil {
			t.Errorf("a value cut at %d of %d bytes is taken", i, len(good))
		}
	}
	if _, err := live.Decode(good + "x"); err == nil {
		t.Error("a value with more behind it is taken")
	}
	newer := []byte(good)
	newer[19]++
	if _, err := live.Decode(string(newer)); err == nil {
		t.Error("another format is taken")
	}
}

func BenchmarkEncode(b *testing.B) {
	line := lineState(1, 0, 5)
	b.ReportAllocs()
	b.SetBytes(int64(len(live.Encode(&line))))
	for b.Loop() {
		live.Encode(&line)
	}
}

func BenchmarkProject(b *testing.B) {
	for _, shape := range []struct {
		name     string
		invoices int
	}{{"10000 lines of 10000 invoices", 10000}, {"10000 lines of 500 invoices", 500}} {
		b.Run(shape.name, func(b *testing.B) {
			url, prefix := teststores.Redis(b)
			f := connect(b, url, prefix)
			lines := make([]rater.LineState, 10000)
			for i := range lines {
				lines[i] = lineState(i, i%shape.invoices, 1)
			}
			p := begin(1)
			p.Rebuilding = false
			f.must(b, true, p)
			b.ReportAllocs()
			n := byte(1)
			for b.Loop() {
				for i := range lines {
					lines[i].Version++
				}
				f.must(b, true, step(n, n+1, lines...))
				n++
			}
			b.ReportMetric(float64(len(lines))*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
