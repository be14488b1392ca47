package rerate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
)

// accounts does the next piece of work of accounts, each of them its first job's.
func (r *Runner) accounts(ctx context.Context, checkpoints map[int32]Checkpoint) (worked bool, err error) {
	list, err := r.store.Accounts(ctx, r.after, r.config.Accounts)
	if err != nil {
		return false, err
	}
	began := r.after != ""
	if r.after = ""; len(list) == r.config.Accounts { // others follow, which those of a partition that has stopped must not keep from their turn
		r.after = list[len(list)-1].Account
	}
	if len(list) == 0 {
		return began, nil
	}
	markers, err := r.store.Markers(ctx, list)
	if err != nil {
		return false, err
	}
	sunk, err := r.store.Sunk(ctx)
	if err != nil {
		return false, err
	}
	var failed []error
	for i := range list {
		if r.config.Lost(list[i].Partition) {
			continue
		}
		moved, err := r.account(ctx, list[i], markers[i], checkpoints, sunk)
		worked = worked || moved
		if err != nil {
			failed = append(failed, fmt.Errorf("rate account %s anew after definition %d: %w", list[i].Account, list[i].Seq, err))
		}
	}
	return worked, errors.Join(failed...)
}

func (r *Runner) account(ctx context.Context, a AccountJob, m Marker, checkpoints map[int32]Checkpoint, sunk map[int32]int64) (bool, error) {
	switch {
	case m.Done >= a.Seq:
		return true, r.finish(ctx, a)
	case m.Seq < a.Seq:
		return r.once(ctx, a, 1, 0, checkpoints, func() error { return r.mark(ctx, a, 1) })
	case m.Seq > a.Seq: // of a later job, which sums up the same usage
		a.Message = strings.TrimSpace(a.Message + " a later job has taken its place")
		return true, r.finish(ctx, a)
	case m.Open && r.config.Again() && m.Attempt < r.config.Attempts:
		return true, r.mark(ctx, a, m.Attempt+1)
	case m.Over:
		if m.Attempt >= r.config.Attempts {
			return r.once(ctx, a, m.Attempt, 2, checkpoints, func() error { return r.giveUp(ctx, a, m, "more usage arrives than is kept behind a marker") })
		}
		return r.once(ctx, a, m.Attempt+1, 0, checkpoints, func() error { return r.mark(ctx, a, m.Attempt+1) })
	case sunk[a.Partition] < m.At && !r.config.Faults.SinkNotAwaited:
		return false, nil
	}
	return r.once(ctx, a, m.Attempt, 1, checkpoints, func() error { return r.sum(ctx, a, m) })
}

// once does something for an account unless it was done and the partition has not come past it yet.
func (r *Runner) once(ctx context.Context, a AccountJob, attempt int64, what int, checkpoints map[int32]Checkpoint, do func() error) (bool, error) {
	key := fmt.Sprint(a.Account, "\x00", a.Seq, attempt, what)
	if ends, done := r.sent[key]; done {
		if passed, err := r.passed(ctx, checkpoints, ends); err != nil || !passed {
			return false, err
		}
	}
	if err := do(); err != nil {
		return true, err
	}
	ends, err := r.ends(ctx, map[int32][][16]byte{a.Partition: nil})
	if err != nil {
		return true, err
	}
	r.sent[key] = ends
	return true, nil
}

func (r *Runner) mark(ctx context.Context, a AccountJob, attempt int64) error {
	return r.write(ctx, a.Partition, usage.Record{Kind: usage.KindMarker, Marker: &usage.Marker{Account: a.Account, Seq: a.Seq, Attempt: attempt}})
}

// sum writes the marker's result. What never can be is given up: the result says nothing, so that the marker ends.
func (r *Runner) sum(ctx context.Context, a AccountJob, m Marker) error {
	s, err := r.summer.Sum(ctx, a, m)
	if errors.Is(err, ErrNever) {
		return r.giveUp(ctx, a, m, err.Error())
	}
	if err != nil {
		return err
	}
	a.Lines, a.Changed, a.Message = s.Lines, s.Changed, s.Left
	if err := r.store.SaveAccount(ctx, a); err != nil {
		return err
	}
	if s.Values != nil {
		for v := range s.Values {
			if err := r.write(ctx, a.Partition, usage.Record{Kind: usage.KindValues, Values: v}); err != nil {
				return err
			}
		}
	}
	for i := range s.Results {
		if err := r.write(ctx, a.Partition, usage.Record{Kind: usage.KindResult, Result: &s.Results[i]}); err != nil {
			return err
		}
	}
	return nil
}

// failedPrefix begins the message of an account that is given up.
const failedPrefix = "given up: "

func (r *Runner) giveUp(ctx context.Context, a AccountJob, m Marker, why string) error {
	a.Message = failedPrefix + why
	answers, err := r.summer.Unanswered(ctx, a, m)
	if err != nil {
		return err
	}
	if err := r.store.SaveAccount(ctx, a); err != nil {
		return err
	}
	r.slog.Error("usage of an account stays as it was rated", "account", a.Account, "definition", a.Seq, "reason", why)
	nothing := usage.Result{Account: a.Account, Seq: a.Seq, Attempt: m.Attempt, At: m.At, Part: 1, Parts: 1, Answers: answers}
	return r.write(ctx, a.Partition, usage.Record{Kind: usage.KindResult, Result: &nothing})
}

func (r *Runner) finish(ctx context.Context, a AccountJob) error {
	a.State = StateDone
	if strings.HasPrefix(a.Message, failedPrefix) {
		a.State = StateFailed
	}
	r.metrics.accounts.WithLabelValues(string(a.State)).Inc()
	return r.store.SaveAccount(ctx, a)
}
