package rater

import (
	"unsafe"

	"github.com/zeebo/xxh3"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
)

// work is a usage record on its way: decoded, rated, encoded. Only rating needs the partition; whoever has nothing else to do may
// decode and encode, see turn.
type work struct {
	record usage.Record
	ids    identities
	hashes []uint64 // of the accounts, by event
	out    activity.Record
	extras []activity.Extra // what activities of out point at
	value  []byte           // the encoded result
	sum    uint64
}

// decode reads the record's content, whose strings are parts of the input: what outlives the record is cloned. What cannot
// be decoded is left as a record of no kind, which step turns into rejected usage.
func (w *work) decode(in *Input) {
	if err := usage.DecodeInPlace(in.Value, &w.record); err != nil {
		w.record = usage.Record{}
	}
	w.ids.take(w.record.Events)
	w.hashes = w.hashes[:0]
	for i := range w.record.Events {
		w.hashes = append(w.hashes, xxh3.HashString(w.record.Events[i].Account))
	}
}

// encode writes the result that step has left, anew in memory since whoever produces it keeps it.
func (w *work) encode(e *activity.Encoder) {
	w.value = e.Append(nil, &w.out)
	w.sum = SumOf(w.value)
}

// prepared is a work that may hold a record decoded ahead.
type prepared struct {
	work
	of     *byte // the record's first byte, nil: none is held
	failed bool  // decoding or encoding panicked beside the runner, which will meet the same
}

// ahead decodes a record before the runner comes to it.
func (p *prepared) ahead(in *Input) {
	p.of = nil
	p.decode(in)
	p.of = unsafe.SliceData(in.Value)
}

// holds says whether the record is decoded here.
func (p *prepared) holds(in *Input) bool { return p.of != nil && p.of == unsafe.SliceData(in.Value) }
