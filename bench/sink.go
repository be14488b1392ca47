package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	sinkkafka "github.com/tollstream/tollstream/rater/sink/kafka"
	sinkpg "github.com/tollstream/tollstream/rater/sink/postgres"
)

// measureSink times the sink from rated records that stand in Kafka until their rows are in the report store and its position is stored, against
// an insert of the very same rows that stand in memory as the driver takes them.
func measureSink(ctx context.Context, c *corner, s settings, out *report) (err error) {
	b := &sinkBench{c: c, topic: c.name + "-sink"}
	defer func() { out.warn(c.clean()) }()
	if err := c.pair(ctx, b.topic+"-usage", b.topic, s.Partitions); err != nil {
		return err
	}
	if b.pool, err = c.pool(ctx); err != nil {
		return err
	}
	defer b.pool.Close()
	if err := b.load(ctx, s); err != nil {
		return err
	}
	if b.ends, err = c.ends(ctx, b.topic); err != nil {
		return err
	}
	for _, server := range clickhouseServers() {
		if err := b.measure(ctx, s, server, out); err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
	}
	return b.measurePostgres(ctx, s, out)
}

// sinkBench is a topic of rated records and the same rows in memory.
type sinkBench struct {
	c     *corner
	topic string
	ends  offsets
	pool  *pgxpool.Pool // of the sink's state and of the report store in PostgreSQL
	rows  int
	bare  [][]any // by block, by column
}

// clickhouseServer is one that the sink is measured with.
type clickhouseServer struct{ name, kind, url, goal string }

// clickhouseServers are those at hand.
func clickhouseServers() (list []clickhouseServer) {
	for _, server := range []clickhouseServer{
		{"ClickHouse 18.16, native", "native", os.Getenv("TOLLSTREAM_TEST_CLICKHOUSE"), "≥ 0.5"},
		{"ClickHouse 26.5, HTTP", "http", os.Getenv("TOLLSTREAM_TEST_CLICKHOUSE_CURRENT"), ""},
	} {
		if server.url != "" {
			list = append(list, server)
		}
	}
	return list
}

// load writes rated records as the rater does, and keeps their rows.
func (b *sinkBench) load(ctx context.Context, s settings) error {
	client, err := kgo.NewClient(append(produceOptions(), kgo.SeedBrokers(b.c.kafka...), kgo.DefaultProduceTopic(b.topic))...)
	if err != nil {
		return fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer client.Close()
	var once sync.Once
	var failed error
	var encoder activity.Encoder
	partitions := make([]ratedStream, s.Partitions)
	events := &stream{accounts: accountIDs(s.Accounts), start: time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC).UnixNano()}
	rows := make([]sink.Row, 0, s.SinkRows)
	for range s.SinkRows {
		e := events.event()
		p := usage.PartitionOf(e.RoutingKey, s.Partitions)
		r := &partitions[p]
		r.add(&e)
		if len(r.record.Activities) < s.Batch {
			continue
		}
		for _, a := range r.record.Activities {
			rows = append(rows, sink.Row{Partition: int32(p), Offset: r.record.Offset, LogTime: r.record.LogTime, Activity: a})
		}
		client.Produce(ctx, &kgo.Record{Partition: int32(p), Value: encoder.Append(nil, &r.record)}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { failed = err })
			}
		})
		r.next()
	}
	if err := client.Flush(ctx); err != nil {
		return fmt.Errorf("load %s: %w", b.topic, err)
	}
	b.rows = len(rows)
	for block := range slices.Chunk(rows, sink.DefaultConfig().MaxRows) {
		b.bare = append(b.bare, bareColumns(block))
	}
	return failed
}

// ratedStream makes the records of one partition.
type ratedStream struct {
	record activity.Record
	terms  map[string]*activity.Terms
}

var benchMonth = sink.MonthOf(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixNano())

func (r *ratedStream) add(e *usage.Event) {
	if r.terms == nil {
		r.terms = map[string]*activity.Terms{}
		r.record = activity.Record{Previous: -1, Version: activity.PricingVersion}
	}
	terms := r.terms[e.Product]
	if terms == nil {
		start, end := sink.MonthBounds(benchMonth)
		terms = &activity.Terms{
			Seller: "main", Product: e.Product, Currency: "EUR", Level: "default", RateID: "product:" + e.Product, RateSeq: 7, RateModel: "graduated",
			ActivatedSeq: 7, PeriodStart: start, PeriodEnd: end, UsageStart: start, UsageEnd: end,
		}
		r.terms[e.Product] = terms
	}
	target := &activity.Target{Account: e.Account, Billed: e.Account, Plain: true}
	target.Invoice = activity.InvoiceID(terms.Seller, target.Billed, terms.PeriodStart)
	target.Line = activity.LineID(activity.FamilyID(terms.Seller, target.Account, terms.Product, terms.Package, nil, target.Billed, terms.UsageStart), target.Invoice)
	r.record.LogTime = e.Time
	r.record.Activities = append(r.record.Activities, activity.Activity{
		Kind: activity.KindUsage, Index: len(r.record.Activities), EventID: e.ID, Source: e.Source, EventTime: e.Time, Attributes: e.Attributes,
		Quantity: e.Quantity, Charge: chargeOf, LineAmount: amountOf, Terms: terms, Target: target,
	})
}

func (r *ratedStream) next() {
	r.record.Previous = r.record.Offset
	r.record.Offset++
	r.record.Activities = r.record.Activities[:0]
}

var (
	chargeOf = money.MustParse("0.125")
	amountOf = money.MustParse("1234.375")
)

// bareColumns are rows as the driver takes columns, in the order of the table.
func bareColumns(rows []sink.Row) []any {
	return []any{
		column(rows, func(r *sink.Row) int32 { return r.Partition }),
		column(rows, func(r *sink.Row) int64 { return r.Offset }),
		column(rows, func(r *sink.Row) int32 { return int32(r.Activity.Index) }),
		column(rows, func(r *sink.Row) int64 { return r.LogTime }),
		column(rows, func(*sink.Row) int32 { return benchMonth }),
		column(rows, func(r *sink.Row) time.Time { return time.Unix(0, r.Activity.EventTime).UTC() }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.EventTime }),
		column(rows, func(r *sink.Row) int16 { return int16(r.Activity.Kind) }),
		column(rows, func(r *sink.Row) string { return r.Activity.EventID }),
		column(rows, func(r *sink.Row) string { return r.Activity.Source }),
		column(rows, func(r *sink.Row) string { return r.Activity.Account }),
		column(rows, func(r *sink.Row) string { return r.Activity.Billed }),
		column(rows, func(r *sink.Row) string { return r.Activity.Seller }),
		column(rows, func(r *sink.Row) string { return r.Activity.Product }),
		column(rows, func(r *sink.Row) string { return r.Activity.Package }),
		column(rows, func(r *sink.Row) []string { return []string{r.Activity.Attributes[0].Name} }),
		column(rows, func(r *sink.Row) []string { return []string{r.Activity.Attributes[0].Value} }),
		column(rows, func(*sink.Row) []string { return nil }),
		column(rows, func(*sink.Row) []string { return nil }),
		column(rows, func(r *sink.Row) decimal.Decimal { return bareDecimal(r.Activity.Quantity) }),
		column(rows, func(r *sink.Row) decimal.Decimal { return bareDecimal(r.Activity.Charge) }),
		column(rows, func(r *sink.Row) string { return r.Activity.Currency }),
		column(rows, func(r *sink.Row) string { return r.Activity.Level }),
		column(rows, func(r *sink.Row) string { return r.Activity.RateAccount }),
		column(rows, func(r *sink.Row) string { return r.Activity.RateID }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.RateSeq }),
		column(rows, func(r *sink.Row) string { return r.Activity.RateModel }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.ActivatedSeq }),
		column(rows, func(r *sink.Row) []byte { return r.Activity.Invoice[:] }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.PeriodStart }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.PeriodEnd }),
		column(rows, func(r *sink.Row) []byte { return r.Activity.Line[:] }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.UsageStart }),
		column(rows, func(r *sink.Row) int64 { return r.Activity.UsageEnd }),
		column(rows, func(r *sink.Row) decimal.Decimal { return bareDecimal(r.Activity.LineAmount) }),
		column(rows, func(*sink.Row) string { return "" }),
		column(rows, func(*sink.Row) int16 { return 0 }),
		column(rows, func(*sink.Row) decimal.Decimal { return decimal.Zero }),
		column(rows, func(*sink.Row) string { return "" }),
		column(rows, func(*sink.Row) decimal.Decimal { return decimal.Zero }),
		column(rows, func(*sink.Row) int32 { return 0 }),
		column(rows, func(*sink.Row) string { return "" }),
		column(rows, func(*sink.Row) decimal.Decimal { return decimal.Zero }),
		column(rows, func(*sink.Row) int32 { return 0 }),
		column(rows, func(*sink.Row) string { return "" }),
		column(rows, func(*sink.Row) string { return "" }),
		column(rows, func(*sink.Row) int64 { return 0 }),
	}
}

func column[T any](rows []sink.Row, of func(*sink.Row) T) []T {
	list := make([]T, len(rows))
	for i := range rows {
		list[i] = of(&rows[i])
	}
	return list
}

func bareDecimal(d money.Decimal) decimal.Decimal {
	return decimal.NewFromBigInt(new(big.Int).SetBytes(d.AppendBinary16(nil)), -money.Scale) // the amounts here are positive
}

// measure alternates the sink and the bare insert, each into an empty table.
func (b *sinkBench) measure(ctx context.Context, s settings, server clickhouseServer, out *report) (err error) {
	database, url, err := b.database(ctx, server.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Exec(ctx, "DROP DATABASE "+b.c.name), database.Close()) }()
	store, err := clickhouse.Open(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	into := func(do func() (time.Duration, error)) (sample, error) {
		if err := b.empty(ctx, database); err != nil {
			return sample{}, err
		}
		run, err := b.c.timed(ctx, s, b.rows, do)
		if err != nil {
			return run, err
		}
		return run, b.counted(ctx, database)
	}
	var r rivals
	err = r.alternate(s.Rounds,
		func(round int) (sample, error) {
			return into(func() (time.Duration, error) { return b.profiled(ctx, s, fmt.Sprint(server.kind, ".", round), store) })
		},
		func(int) (sample, error) {
			return into(func() (time.Duration, error) { return b.insert(ctx, database) })
		})
	if err != nil {
		return err
	}
	name := "sink, " + server.name
	out.add(
		measured(name+": ratio to the driver's bare insert", "×", r.ratio).goal(server.goal).
			note("%d rows of %d columns, blocks of %d; the bare insert has its columns in memory", b.rows, len(bareColumns(nil)), sink.DefaultConfig().MaxRows),
		measured(name+": speed", "rows/s", r.subject.speed),
		measured(name+": bare insert", "rows/s", r.bare.speed),
		measured(name+": ratio of processor time, all processes", "×", r.processor),
	)
	out.add(r.subject.cost(name)...)
	out.add(r.bare.cost(name + ", bare insert")...)
	return nil
}

// database makes one of the corner's own with the sink's table, and connects as the baseline does.
func (b *sinkBench) database(ctx context.Context, url string) (ch.Conn, string, error) {
	options, err := ch.ParseDSN(url)
	if err != nil {
		return nil, "", err
	}
	options.Auth.Database = b.c.name
	options.Compression = &ch.Compression{Method: ch.CompressionLZ4} // like the sink
	at := options.Protocol.String() + "://" + options.Addr[0] + "/" + b.c.name
	if options.Protocol == ch.Native {
		at = "clickhouse://" + options.Addr[0] + "/" + b.c.name
	}
	if err := clickhouse.Migrate(ctx, at); err != nil {
		return nil, "", err
	}
	conn, err := ch.Open(options)
	return conn, at, err
}

// empty makes the next run begin with nothing.
func (b *sinkBench) empty(ctx context.Context, conn ch.Conn) error {
	if err := b.forget(ctx); err != nil {
		return err
	}
	return conn.Exec(ctx, "TRUNCATE TABLE rated_activity")
}

func (b *sinkBench) forget(ctx context.Context) error {
	_, err := b.pool.Exec(ctx, "TRUNCATE sink_position, sink_lease, rated_activity")
	return err
}

// counted checks that the run has inserted every row.
func (b *sinkBench) counted(ctx context.Context, conn ch.Conn) error {
	var n uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM rated_activity").Scan(&n); err != nil {
		return err
	}
	if n != uint64(b.rows) {
		return fmt.Errorf("%d rows were inserted, not %d", n, b.rows)
	}
	return nil
}

// insertStatement names the columns, without which 18.16 describes none.
func insertStatement(ctx context.Context, conn ch.Conn) (string, error) {
	rows, err := conn.Query(ctx, "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'rated_activity'")
	if err != nil {
		return "", err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return "", err
		}
		names = append(names, name)
	}
	return "INSERT INTO rated_activity (" + strings.Join(names, ", ") + ") VALUES", errors.Join(rows.Err(), rows.Close())
}

// insert sends the columns, and nothing else.
func (b *sinkBench) insert(ctx context.Context, conn ch.Conn) (time.Duration, error) {
	statement, err := insertStatement(ctx, conn)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, columns := range b.bare {
		batch, err := conn.PrepareBatch(ctx, statement)
		if err != nil {
			return 0, err
		}
		for i, column := range columns {
			if err := batch.Column(i).Append(column); err != nil {
				return 0, err
			}
		}
		if err := batch.Send(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// profiled is sink, with a profile if that is asked.
func (b *sinkBench) profiled(ctx context.Context, s settings, name string, store sink.Store) (took time.Duration, err error) {
	if s.Profile == "" {
		return b.sink(ctx, store)
	}
	profile, err := profileOf(func() (err error) { took, err = b.sink(ctx, store); return err })
	if err != nil {
		return 0, err
	}
	return took, os.WriteFile(s.Profile+".sink."+name, profile, 0o600)
}

// sink runs a sink until its position is at the end of the topic.
func (b *sinkBench) sink(ctx context.Context, store sink.Store) (time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, roundTimeout)
	defer stop()
	state := sinkpg.NewState(b.pool)
	positions := &endWitness{State: state, left: map[int32]int64{}, done: make(chan struct{})}
	for p, end := range b.ends {
		if end > 0 {
			positions.left[p] = end
		}
	}
	config := sink.DefaultConfig()
	config.Owner = b.c.name
	began := time.Now()
	real, err := sink.New(config, store, positions, state, sinkkafka.NewLog(b.c.kafka, b.topic), systemClock{}, quiet(), sink.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		return 0, err
	}
	running, halt := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { _ = real.Run(running) }) // never fails, see its documentation
	defer wait.Wait()
	defer halt()
	select {
	case <-positions.done:
		return time.Since(began), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the sink's positions: %w", ctx.Err())
	}
}

// endWitness notes when every position is at the end.
type endWitness struct {
	*sinkpg.State
	left map[int32]int64
	done chan struct{}
}

// SavePositions implements sink.Positions.
func (w *endWitness) SavePositions(ctx context.Context, ps []sink.Position) error {
	if err := w.State.SavePositions(ctx, ps); err != nil {
		return err
	}
	for _, p := range ps {
		if end, ok := w.left[p.Partition]; ok && p.Next >= end {
			delete(w.left, p.Partition)
			if len(w.left) == 0 {
				close(w.done)
			}
		}
	}
	return nil
}

// measurePostgres times the sink with PostgreSQL as the report store.
func (b *sinkBench) measurePostgres(ctx context.Context, s settings, out *report) error {
	var subject figure
	for round := range s.Rounds + 1 {
		if err := b.forget(ctx); err != nil {
			return err
		}
		run, err := b.c.timed(ctx, s, b.rows, func() (time.Duration, error) { return b.sink(ctx, sinkpg.NewStore(b.pool)) })
		if err != nil {
			return err
		}
		if round > 0 {
			subject.add(run)
		}
	}
	const name = "sink, PostgreSQL as the report store"
	out.add(measured(name+": speed", "rows/s", subject.speed))
	out.add(subject.cost(name)...)
	return nil
}
