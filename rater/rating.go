package rater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
)

// rate rates some of what was delivered.
func (r *runner) rate() error {
	if r.draining || r.w.host.now().Before(r.rateAt) {
		return nil
	}
	batch := r.queued(ratePerTurn)
	if len(batch) == 0 {
		return nil
	}
	r.w.busy.Add(1)
	defer r.w.busy.Add(-1)
	ctx, cancel := r.w.host.timeout(r.rating, r.w.Intervals.Answer)
	defer cancel()
	n, err := r.rateSome(ctx, batch, r.assisted(batch))
	if final(err) {
		return err
	}
	if err != nil {
		r.later(&batch[n], err)
	}
	r.take(n)
	return nil
}

// rateSome rates records of the batch until an error, or until it has taken as long as a checkpoint may wait: records whose lines and
// accounts have to be read take a thousand times as long as others. n says how many it rated.
func (r *runner) rateSome(ctx context.Context, batch []Input, t *turn) (n int, err error) {
	until := r.w.host.now().Add(r.w.Intervals.Checkpoint)
	for n < len(batch) && r.room() && (n == 0 || r.w.host.now().Before(until)) {
		if err = r.rateOne(ctx, &batch[n], t); err != nil {
			break
		}
		r.failing = false
		n++
	}
	if t == nil {
		return n, err
	}
	defer t.end()
	return n, cmp.Or(r.takeResults(t, true), err)
}

// assisted begins a turn with an assistant if there is enough to do for both and a processor for it, and returns nil otherwise.
func (r *runner) assisted(batch []Input) *turn {
	l, first, last := &r.w.Limits, &batch[0], &batch[len(batch)-1]
	bytes := 0
	for i := range batch {
		bytes += len(batch[i].Value)
	}
	if bytes < l.AheadBytes || first.Offset != r.p.Position() || last.Offset != first.Offset+int64(len(batch))-1 {
		return nil
	}
	if int(r.w.busy.Add(1)) > l.Processors {
		r.w.busy.Add(-1)
		return nil
	}
	if r.works == nil {
		r.works = new([aheadMost]prepared)
	}
	t := newTurn(r.w.host, batch, r.works)
	r.w.host.start(func() {
		defer r.w.busy.Add(-1)
		t.assist()
	})
	return t
}

func (r *runner) room() bool { return r.p.Room() && r.flying < flyingMost }

// later has a record tried again after a while.
func (r *runner) later(in *Input, err error) {
	r.rateAt = r.w.host.now().Add(r.w.Intervals.Retry)
	if r.rating.Err() != nil {
		return
	}
	r.w.Metrics.errors.WithLabelValues("read").Inc()
	if !r.failing { // once an outage
		r.failing = true
		r.w.Log.Warn("rating waits for a store", "partition", r.partition, "offset", in.Offset, "error", err)
	}
}

// final says whether an error ends the runner; others are of a store that may come back.
func final(err error) bool {
	var p *poisoned
	return errors.Is(err, ErrFenced) || errors.Is(err, ErrDiverged) || errors.Is(err, ErrLost) || errors.Is(err, ErrDefinitions) ||
		errors.Is(err, errGap) || errors.As(err, &p)
}

var errGap = errors.New("the usage log skips offsets")

// poisoned is a record that cannot be rated: the rating code panics, or the definitions contradict themselves.
type poisoned struct {
	offset int64
	index  int
	err    error
}

func (e *poisoned) Error() string { return fmt.Sprintf("rating offset %d fails: %v", e.offset, e.err) }

func (r *runner) rateOne(ctx context.Context, in *Input, t *turn) (err error) {
	defer r.recovered(in.Offset, &err)
	if in.Offset < r.p.Position() {
		return r.p.again(in)
	}
	if in.Offset > r.p.Position() {
		return fmt.Errorf("partition %d goes from offset %d to %d: %w", r.partition, r.p.Position(), in.Offset, errGap)
	}
	var value []byte
	if t == nil {
		value, err = r.p.Rate(ctx, in)
	} else {
		err = r.p.rate(ctx, t.next(), in)
	}
	switch {
	case errors.Is(err, errUnratable):
		return &poisoned{in.Offset, r.p.EventInWork(), err}
	case err != nil:
		return err
	case t == nil:
		r.produce(&r.p.own, value)
		return nil
	}
	t.rates()
	return r.takeResults(t, false)
}

// takeResults takes what is encoded, or all that is rated.
func (r *runner) takeResults(t *turn, all bool) error {
	for t.taken < t.rated {
		if ok, err := r.takeResult(t, all || t.full()); err != nil || !ok {
			return err
		}
	}
	return nil
}

func (r *runner) takeResult(t *turn, now bool) (ok bool, err error) {
	defer r.recovered(t.batch[t.taken].Offset, &err)
	w := t.result(now, &r.p.encoder)
	if w == nil {
		return false, nil
	}
	defer t.takes()
	value, err := r.p.result(w)
	if err != nil {
		return false, err
	}
	r.produce(w, value)
	return true, nil
}

// produce produces a record's result unless rated holds it.
func (r *runner) produce(w *work, value []byte) {
	r.w.Metrics.rated(&w.out)
	if value != nil {
		bytes := len(value)
		r.flying += bytes
		r.w.Producer.Produce(r.partition, value, func(at int64, err error) { r.acked(ack{at, bytes, err}) })
	}
}

// recovered makes a panic an error of the offset.
func (r *runner) recovered(offset int64, err *error) {
	if e := recover(); e != nil {
		r.w.Log.Error("rating panics", "partition", r.partition, "offset", offset, "panic", e, "stack", string(debug.Stack()))
		*err = &poisoned{offset, r.p.EventInWork(), fmt.Errorf("panic: %v", e)}
	}
}
