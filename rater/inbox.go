package rater

import "sync"

// inbox is what stores and broker have answered a runner and it has not heard yet, in the order in which it came.
// Nobody who answers waits for the runner, not even when it has ended. It is bounded by what the runner may have
// outstanding: unacknowledged records, and one question a kind.
type inbox struct {
	mu      sync.Mutex
	answers []func() error
	acks    []ack
	spare   []ack // the acknowledgements heard last, to be written over
	wake    chan struct{}
}

// answer has the runner do something with an answer; an error of it ends the runner.
func (b *inbox) answer(do func() error) {
	b.mu.Lock()
	b.answers = append(b.answers, do)
	b.mu.Unlock()
	b.signal()
}

// acked takes the acknowledgement, or the failure, of the oldest unacknowledged rated record.
func (b *inbox) acked(a ack) {
	b.mu.Lock()
	b.acks = append(b.acks, a)
	first := len(b.acks) == 1
	b.mu.Unlock()
	if first {
		b.signal()
	}
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// heard returns what has come since it was called last. The acknowledgements are valid until the next call.
func (b *inbox) heard() (acks []ack, answers []func() error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	acks, answers = b.acks, b.answers
	b.acks, b.spare, b.answers = b.spare[:0], acks, nil
	return acks, answers
}
