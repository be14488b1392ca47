package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// products are the four that accounts use, one each in turn.
var products = []map[string]any{
	{"id": "calls", "name": "Calls", "unit": "minute", "rates": []any{map[string]any{"model": "graduated", "tiers": []any{
		map[string]any{"up_to": 1000, "unit_price": 0.05}, map[string]any{"up_to": 10000, "unit_price": 0.04}, map[string]any{"unit_price": 0.03}}}}},
	{"id": "data", "name": "Data", "unit": "MB", "group_by": []any{"region"}, "rates": []any{map[string]any{"model": "per_unit", "unit_price": 0.002}}},
	{"id": "traffic", "name": "Traffic", "unit": "GB", "rates": []any{map[string]any{"model": "volume", "tiers": []any{
		map[string]any{"up_to": 1000, "unit_price": 0.06}, map[string]any{"up_to": 5000, "unit_price": 0.05}, map[string]any{"unit_price": 0.04}}}}},
	{"id": "texts", "name": "Texts", "unit": "message", "rates": []any{map[string]any{"model": "package", "size": 100, "price": 1.2, "free": 50}}},
}

// accountsInDocument bounds one document of the catalogue.
const accountsInDocument = 25_000

// documents are the catalogue: the products first, then the accounts in parts, each with a document of its own.
func documents(accounts []string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		document := map[string]any{"currency": "EUR", "seller": map[string]any{"id": "main", "name": "Bench"}, "products": products}
		for part := range slices.Chunk(accounts, accountsInDocument) {
			if !yieldDocument(yield, document) {
				return
			}
			list := make([]any, len(part))
			for i, id := range part {
				list[i] = map[string]any{"id": id, "currency": "EUR"}
			}
			document = map[string]any{"accounts": list}
		}
		yieldDocument(yield, document)
	}
}

func yieldDocument(yield func([]byte, error) bool, document map[string]any) bool {
	b, err := json.Marshal(document)
	if err != nil {
		err = fmt.Errorf("encode the catalogue: %w", err)
	}
	return yield(b, err)
}

func accountID(i int) string { return fmt.Sprintf("acct-%07d", i) }

func accountIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = accountID(i)
	}
	return ids
}

var (
	quantity = money.MustParse("2.5")
	region   = []usage.Attribute{{Name: "region", Value: "eu-central-1"}}
)

// stream gives usage events without end, each with an id of its own: accounts in an order without neighbours, times that
// go on from a start.
type stream struct {
	accounts []string
	at       int
	start    int64 // instant of the first event
	every    int64 // nanoseconds from one event to the next; 0: a microsecond
	stamped  bool  // records carry the time of their last event
}

// stride spreads the accounts; it is prime, and so larger than no factor of a round number of accounts.
const stride = 7919

func (s *stream) event() usage.Event {
	n := s.at * stride % len(s.accounts)
	sent := usage.Sent{
		ID: fmt.Sprintf("e-%012d", s.at), Source: "gateway-7", Account: s.accounts[n], Product: products[n%len(products)]["id"].(string),
		Time: s.start + int64(s.at)*max(s.every, 1000), HasTime: true, Quantity: quantity, HasQuantity: true, Attributes: region,
	}
	s.at++
	e := sent.Event("", 0)
	e.Account, e.RoutingKey = sent.Account, sent.Account
	return e
}

// load writes n events into a topic, so many in a record, with the producer's settings of a publisher.
func load(ctx context.Context, brokers []string, topic string, partitions int, s *stream, n, batch int) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(200_000), kgo.MaxBufferedBytes(64<<20), kgo.ProducerBatchMaxBytes(1<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer client.Close()
	var once sync.Once
	var failed error
	write := func(p int32, events []usage.Event) {
		value := usage.AppendRecord(nil, &usage.Record{Kind: usage.KindBatch, Events: events})
		record := &kgo.Record{Topic: topic, Partition: p, Value: value}
		if s.stamped {
			record.Timestamp = time.Unix(0, events[len(events)-1].Time)
		}
		client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
	}
	gathered := make([][]usage.Event, partitions)
	for range n {
		e := s.event()
		p := usage.PartitionOf(e.RoutingKey, partitions)
		gathered[p] = append(gathered[p], e)
		if len(gathered[p]) == batch {
			write(p, gathered[p])
			gathered[p] = gathered[p][:0]
		}
	}
	for p, events := range gathered {
		if len(events) > 0 {
			write(int32(p), events)
		}
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("load %s: %w", topic, err)
	}
	return failed
}
