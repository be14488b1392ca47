package storetest

import (
	"testing"

	"github.com/tollstream/tollstream/rater/sink"
)

// Bench inserts blocks of 20,000 activities of one month.
func Bench(b *testing.B, s Store) {
	const rows = 20_000
	block := sink.Block{Month: november, Rows: make([]sink.Row, rows)}
	for i := range block.Rows {
		block.Rows[i] = fixture[0].row()
	}
	offset := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range block.Rows {
			offset++
			block.Rows[i].Offset = offset
		}
		if err := s.Insert(b.Context(), block); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
