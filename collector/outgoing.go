package collector

import "github.com/tollstream/tollstream/collector/usage"

// outgoing are a call's events, encoded, on their way into the open batches: strung together by partition, so that
// each lane is locked once, and only while bytes are copied.
type outgoing struct {
	bytes   []byte
	ends    []int   // where each event ends in bytes
	next    []int32 // the number of the next event on the same partition; numbers begin at 1, 0 is none
	first   []int32 // by partition: number of its first event
	last    []int32
	touched []int32 // partitions that have events
}

func newOutgoing(partitions int) *outgoing {
	return &outgoing{first: make([]int32, partitions), last: make([]int32, partitions)}
}

func (o *outgoing) add(e *usage.Event) {
	o.bytes = usage.AppendEvent(o.bytes, e)
	o.ends = append(o.ends, len(o.bytes))
	o.next = append(o.next, 0)
	partition, number := usage.PartitionOf(e.RoutingKey, len(o.first)), int32(len(o.ends)) //nolint:gosec // a request's events are bounded
	if o.first[partition] == 0 {
		o.touched = append(o.touched, partition)
		o.first[partition] = number
	} else {
		o.next[o.last[partition]-1] = number
	}
	o.last[partition] = number
}

// event gives an event by its number.
func (o *outgoing) event(number int32) []byte {
	start := 0
	if number > 1 {
		start = o.ends[number-2]
	}
	return o.bytes[start:o.ends[number-1]]
}

func (o *outgoing) reset() {
	for _, partition := range o.touched {
		o.first[partition] = 0
	}
	o.bytes, o.ends, o.next, o.touched = o.bytes[:0], o.ends[:0], o.next[:0], o.touched[:0]
}
