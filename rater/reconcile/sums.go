package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

const (
	whereCounters = "the checkpoint's counters"
	whereStore    = "the report store"
	whereRated    = "the rated topic"
	whereLines    = "the invoice line"
)

// counters checks what each checkpoint counted against itself.
func (r *run) counters() error {
	slices.SortFunc(r.checkpoints, func(a, b Checkpoint) int { return cmp.Compare(a.Partition, b.Partition) })
	for _, c := range r.checkpoints {
		p := Partition{Partition: c.Partition, Next: c.Next}
		for _, n := range c.Counts {
			p.Accepted += n.Accepted
			p.Retried += n.Retried
			p.Rated += n.Rated
			p.Duplicates += n.Duplicates
			p.Rejected += n.Rejected
		}
		in, out := p.Accepted+p.Retried, p.Rated+p.Duplicates+p.Rejected
		if p.OK = in == out; !p.OK {
			r.result.differ(Difference{What: "usage taken in and dealt with", Partition: c.Partition,
				Left: Figure{"accepted + retried", whole(in)}, Right: Figure{"rated + duplicates + rejected", whole(out)}})
		}
		r.result.Partitions = append(r.result.Partitions, p)
	}
	return nil
}

func whole(n int64) string { return strconv.FormatInt(n, 10) }

// store compares the counters with the report store and, if asked or where they differ, both with the topic.
func (r *run) store(ctx context.Context, deep bool) error {
	reported, err := r.Store.SumByMonth(ctx, r.month, r.bounds)
	if err != nil {
		return err
	}
	for i := range r.checkpoints {
		c, p := &r.checkpoints[i], &r.result.Partitions[i]
		sums := map[string]*Sum{}
		for _, n := range c.Counts {
			if n.Currency != "" {
				sums[n.Currency] = &Sum{Partition: c.Partition, Currency: n.Currency, Charged: n.Charged}
			}
		}
		for _, s := range reported {
			if s.Partition != c.Partition {
				continue
			}
			if sums[s.Currency] == nil {
				sums[s.Currency] = &Sum{Partition: c.Partition, Currency: s.Currency}
			}
			sums[s.Currency].Reported = s.Charged
			p.Reported += s.Events
		}
		differences := r.compare(p, sums)
		if deep || len(differences) > 0 && r.Rated != nil {
			if err := r.walk(ctx, c, sums, differences, deep); err != nil {
				return err
			}
		} else {
			for _, d := range differences {
				r.result.differ(d)
			}
		}
	}
	return nil
}

// compare finds what differs between a partition's counters and the store.
func (r *run) compare(p *Partition, sums map[string]*Sum) []Difference {
	var found []Difference
	if p.Rated != p.Reported {
		p.OK = false
		found = append(found, Difference{What: "rated usage events", Partition: p.Partition,
			Left: Figure{whereCounters, whole(p.Rated)}, Right: Figure{whereStore, whole(p.Reported)}})
	}
	for _, currency := range sortedKeys(sums) {
		s := sums[currency]
		s.Lines = s.Reported
		if s.OK = s.Charged == s.Reported; !s.OK {
			found = append(found, Difference{What: "charges", Partition: p.Partition, Currency: currency,
				Left: Figure{whereCounters, s.Charged.String()}, Right: Figure{whereStore, s.Reported.String()}})
		}
		r.result.Sums = append(r.result.Sums, *s)
	}
	return found
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// errBound ends a walk at the checkpoint.
var errBound = errors.New("at the checkpoint")

// walk compares the topic with the store offset by offset, and with the counters.
func (r *run) walk(ctx context.Context, c *Checkpoint, sums map[string]*Sum, differences []Difference, deep bool) error {
	w := &walker{run: r, partition: c.Partition, below: c.Next, last: -1, charged: map[string]money.Decimal{}}
	err := r.Rated.Walk(ctx, c.Partition, func(_ int64, rec *activity.Record) error { return w.record(ctx, rec) })
	if err == nil || errors.Is(err, errBound) {
		err = w.rest(ctx)
	}
	if err != nil {
		return fmt.Errorf("walk rated of partition %d: %w", c.Partition, err)
	}
	if w.last < c.Last {
		r.result.differ(Difference{What: "the last rated usage offset", Partition: c.Partition, Offset: &c.Last,
			Left: Figure{"the checkpoint", whole(c.Last)}, Right: Figure{whereRated, whole(w.last)}})
	}
	if w.first != nil {
		r.result.differ(*w.first)
	} else {
		for _, d := range differences {
			if w.last >= c.Last {
				d.Note = "the report store agrees with the rated topic at every offset, so the counters are at fault"
			}
			r.result.differ(d)
		}
	}
	if !deep {
		return nil
	}
	var rated, rejected int64
	for _, n := range c.Counts {
		rated += n.Rated
		rejected += n.Rejected
	}
	r.expect("rated usage events", c.Partition, "", whole(rated), whole(w.events))
	r.expect("rejected usage events", c.Partition, "", whole(rejected), whole(w.rejected))
	for _, currency := range sortedKeys(sums) {
		r.expect("charges", c.Partition, currency, sums[currency].Charged.String(), w.charged[currency].String())
	}
	return nil
}

func (r *run) expect(what string, partition int32, currency, counted, walked string) {
	if counted != walked {
		r.result.differ(Difference{What: what, Partition: partition, Currency: currency, Left: Figure{whereCounters, counted}, Right: Figure{whereRated, walked}})
	}
}

// walker sums the month's activities of the topic and holds them against the store's, offset by offset.
type walker struct {
	*run
	partition        int32
	below            int64
	last             int64 // usage offset
	events, rejected int64
	charged          map[string]money.Decimal
	store            []sink.OffsetSum // the page being compared
	next             int64            // first usage offset of the next page
	ended            bool
	first            *Difference
}

func (w *walker) record(ctx context.Context, rec *activity.Record) error {
	if rec.Offset >= w.below {
		return errBound
	}
	w.last = rec.Offset
	sums := map[string]*sink.OffsetSum{}
	for i := range rec.Activities {
		a := &rec.Activities[i]
		if sink.MonthOf(a.EventTime) != w.month {
			continue
		}
		s := sums[a.Currency]
		if s == nil {
			s = &sink.OffsetSum{Offset: rec.Offset, Currency: a.Currency}
			sums[a.Currency] = s
		}
		if a.Kind == activity.KindUsage {
			s.Events++
			w.events++
		}
		var err error
		if s.Charged, err = s.Charged.Add(a.Charge); err != nil {
			return err
		}
		if w.charged[a.Currency], err = w.charged[a.Currency].Add(a.Charge); err != nil {
			return err
		}
	}
	for _, rejected := range rec.Rejected {
		if sink.MonthOf(rejected.EventTime) == w.month {
			w.rejected++
		}
	}
	for _, currency := range sortedKeys(sums) {
		if err := w.hold(ctx, *sums[currency]); err != nil {
			return err
		}
	}
	return nil
}

// hold holds one sum of the topic against the store's next.
func (w *walker) hold(ctx context.Context, topic sink.OffsetSum) error {
	for {
		stored, ok, err := w.peek(ctx)
		if err != nil {
			return err
		}
		switch {
		case ok && stored == topic:
			w.store = w.store[1:]
			return nil
		case ok && (stored.Offset < topic.Offset || stored.Offset == topic.Offset && stored.Currency < topic.Currency):
			w.differ(stored.Offset, stored.Currency, nil, &stored)
			w.store = w.store[1:]
			continue
		case ok && stored.Offset == topic.Offset && stored.Currency == topic.Currency:
			w.differ(topic.Offset, topic.Currency, &topic, &stored)
			w.store = w.store[1:]
			return nil
		}
		w.differ(topic.Offset, topic.Currency, &topic, nil)
		return nil
	}
}

// rest is what the store has beyond the topic.
func (w *walker) rest(ctx context.Context) error {
	stored, ok, err := w.peek(ctx)
	if ok {
		w.differ(stored.Offset, stored.Currency, nil, &stored)
	}
	return err
}

func (w *walker) peek(ctx context.Context) (sink.OffsetSum, bool, error) {
	if len(w.store) == 0 && !w.ended {
		page, err := w.Store.SumByOffset(ctx, w.partition, w.month, w.next, w.below, offsetPage)
		if err != nil {
			return sink.OffsetSum{}, false, err
		}
		if w.store = page; len(page) == 0 {
			w.ended = true
		} else {
			w.next = page[len(page)-1].Offset + 1
		}
	}
	if len(w.store) == 0 {
		return sink.OffsetSum{}, false, nil
	}
	return w.store[0], true, nil
}

func (w *walker) differ(offset int64, currency string, topic, stored *sink.OffsetSum) {
	if w.first != nil {
		return
	}
	text := func(s *sink.OffsetSum) string {
		if s == nil {
			return "nothing"
		}
		return fmt.Sprintf("%d events charged %s", s.Events, s.Charged)
	}
	w.first = &Difference{What: "activities", Partition: w.partition, Offset: &offset, Currency: currency,
		Left: Figure{whereRated, text(topic)}, Right: Figure{whereStore, text(stored)}}
}
