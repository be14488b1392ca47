package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// edge is an event so far in the future that the log's clock decides on it: usage more than an hour ahead of log time, the running
// maximum of the partition's broker timestamps, is rejected. The timestamps are read from the log, and the record that an event stands in
// is found by the event's id.
type edge struct {
	id  string // ends in a dash, so that none begins another
	use oracle.Use
}

const (
	edgeAccount = "edge"
	tolerance   = time.Hour        // of usage in the future
	edgeSpread  = 11 * time.Minute // around it: further than a clock is put
)

// newEdge makes one, unless its time would fall into another month than the rest of the traffic.
func (l *load) newEdge(now time.Time) *edge {
	// Half a millisecond beside any timestamp of a broker.
	at := now.UTC().Add(tolerance + time.Duration(l.random.Int64N(int64(2*edgeSpread))) - edgeSpread).Truncate(time.Millisecond).Add(time.Millisecond / 2)
	if at.Format("2006-01") != l.traffic.Month() {
		return nil
	}
	l.book.edges++
	return &edge{
		id:  fmt.Sprintf("edge-%d-", l.book.edges),
		use: oracle.Use{Billed: edgeAccount, Account: edgeAccount, Product: "api-calls", Quantity: fmt.Sprint(1 + l.random.IntN(9)), At: at},
	}
}

func (l *load) sendEdge(ctx context.Context, e *edge) error {
	body, err := json.Marshal(map[string]any{
		"id": e.id, "source": "chaos", "account": edgeAccount, "product": e.use.Product, "quantity": e.use.Quantity, "time": e.use.At.Format(time.RFC3339Nano),
	})
	if err != nil {
		return err
	}
	if err := l.deliver(ctx, &drive.Batch{ContentType: "application/json", Body: body, Events: 1}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.edges = append(l.edges, e)
	return nil
}

// usageLog follows the topic `usage`, past the wires.
type usageLog struct {
	client *kgo.Client
	next   map[int32]int64
	time   map[int32]int64 // the running maximum, ms
	seen   []sighting      // of events on the edge
}

// sighting is a record that holds events on the edge, at a log time.
type sighting struct {
	value []byte
	at    time.Time
}

const usageTopic = "usage"

func openLog(brokers string) (*usageLog, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.ConsumePartitions(nil), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, fmt.Errorf("configure a Kafka client: %w", err)
	}
	return &usageLog{client: client, next: map[int32]int64{}, time: map[int32]int64{}}, nil
}

// catchUp reads to the present end of the log.
func (l *usageLog) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(l.client).ListEndOffsets(ctx, usageTopic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("ask where the log ends: %w", err)
	}
	at, behind := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if l.next[end.Partition] < end.Offset {
			at[end.Partition] = kgo.NewOffset().At(l.next[end.Partition])
			behind[end.Partition] = end.Offset
		}
	})
	l.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{usageTopic: at})
	defer func() { l.client.PurgeTopicsFromConsuming(usageTopic) }()
	for len(behind) > 0 {
		fetches := l.client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != l.next[r.Partition] {
				return // read before
			}
			l.take(r)
			if l.next[r.Partition] >= behind[r.Partition] {
				delete(behind, r.Partition)
			}
		})
	}
	return nil
}

func (l *usageLog) take(r *kgo.Record) {
	l.next[r.Partition] = r.Offset + 1
	l.time[r.Partition] = max(l.time[r.Partition], r.Timestamp.UnixMilli())
	if bytes.Contains(r.Value, []byte(edgeAccount+"-")) {
		l.seen = append(l.seen, sighting{slices.Clone(r.Value), time.UnixMilli(l.time[r.Partition])})
	}
}

// decideEdges enters into the book what has to become of the edges that were sent.
func (s *site) decideEdges(ctx context.Context) error {
	if err := s.log.catchUp(ctx); err != nil {
		return err
	}
	if err := s.load.decide(s.log.seen); err != nil {
		return err
	}
	s.log.seen = nil
	return nil
}

// decide looks every edge up in the log. Log time only grows: what was rejected at first may be rated when it was sent again, and what was
// rated is a duplicate from then on.
func (l *load) decide(seen []sighting) error {
	var rated []*edge
	for _, e := range l.edges {
		found := slices.DeleteFunc(slices.Clone(seen), func(x sighting) bool { return !bytes.Contains(x.value, []byte(e.id)) })
		if len(found) == 0 {
			return fmt.Errorf("%s was acknowledged and is not in the log", e.id)
		}
		if e.use.At.After(found[0].at.Add(tolerance)) {
			l.book.rejected[e.id] = "too_new"
		}
		if !e.use.At.After(found[len(found)-1].at.Add(tolerance)) {
			rated = append(rated, e)
		}
	}
	for _, e := range rated {
		l.book.bills.Add(e.use)
	}
	l.book.events += len(rated)
	l.edges = nil
	return nil
}
