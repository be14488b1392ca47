package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/shopspring/decimal"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/backtest"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	sinkpg "github.com/tollstream/tollstream/rater/sink/postgres"
)

// measureBacktest times a backtest of a month's stored usage, from the question for its extent to the result, against a read of the very
// same rows with the driver, as many at the same time, that does nothing with them.
func measureBacktest(ctx context.Context, c *corner, s settings, out *report) (err error) {
	b := &backtestBench{sinkBench: sinkBench{c: c}, accounts: accountIDs(s.Accounts), events: s.Backtested}
	defer func() { out.warn(c.clean()) }()
	if b.pool, err = c.pool(ctx); err != nil {
		return err
	}
	defer b.pool.Close()
	if err = b.overlays(ctx, b.pool); err != nil {
		return err
	}
	for _, server := range clickhouseServers() {
		if err := b.measure(ctx, s, server, out); err != nil {
			return fmt.Errorf("%s: %w", server.name, err)
		}
	}
	store := sinkpg.NewStore(b.pool)
	if err := b.fill(ctx, store, s); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, "ANALYZE"); err != nil { // as autovacuum does in a while
		return fmt.Errorf("analyse: %w", err)
	}
	for way, book := range b.books {
		var subject figure
		for round := range s.Rounds + 1 {
			run, err := c.timed(ctx, s, b.events, func() (time.Duration, error) { return b.backtest(ctx, store, book) })
			if err != nil {
				return err
			}
			if round > 0 {
				subject.add(run)
			}
		}
		name := "backtest, PostgreSQL" + backtestWays[way]
		out.add(measured(name+": speed", "activities/s", subject.speed))
		out.add(subject.cost(name)...)
	}
	return nil
}

// backtestBench is a month of usage in a report store, and a draft that prices it otherwise.
type backtestBench struct {
	sinkBench
	accounts []string
	events   int
	books    [len(backtestWays)]*backtest.Overlay
}

// backtestWays are how the usage is rated: sums of the store are priced, or, since each event is rounded, every activity is read.
var backtestWays = [...]string{"", ", each event rounded"}

// backtestDraft makes graduated prices volume ones, and all others dearer. %[1]s stands in each rate.
const backtestDraft = `{"products": [
  {"id": "calls", "rates": [{"model": "volume"%[1]s, "tiers": [{"up_to": 1000, "unit_price": 0.05}, {"up_to": 10000, "unit_price": 0.04}, {"unit_price": 0.03}]}]},
  {"id": "data", "group_by": ["region"], "rates": [{"model": "per_unit"%[1]s, "unit_price": 0.003}]},
  {"id": "traffic", "rates": [{"model": "graduated"%[1]s, "tiers": [{"up_to": 1000, "unit_price": 0.06}, {"up_to": 5000, "unit_price": 0.05}, {"unit_price": 0.04}]}]},
  {"id": "texts", "rates": [{"model": "package"%[1]s, "size": 50, "price": 1.2}]}]}`

// overlays applies the catalogue and lays the drafts over it.
func (b *backtestBench) overlays(ctx context.Context, pool *pgxpool.Pool) error {
	store := catalogpg.New(pool, time.Now)
	var seq int64
	for text, err := range documents(b.accounts) {
		if err != nil {
			return err
		}
		doc, err := catalog.ParseDocument("bench.json", text)
		if err != nil {
			return err
		}
		applied, err := store.Apply(ctx, doc)
		if err != nil {
			return err
		}
		seq = applied.Seq
	}
	snapshot, err := store.Snapshot(ctx, seq)
	if err != nil {
		return err
	}
	for way, rounding := range [len(backtestWays)]string{"", `, "rounding": {"mode": "ceil", "precision": 0, "on": "event"}`} {
		doc, err := catalog.ParseDocument("draft.json", fmt.Appendf(nil, backtestDraft, rounding))
		if err != nil {
			return err
		}
		changes, err := store.Diff(ctx, doc)
		if err != nil {
			return err
		}
		if b.books[way], err = backtest.NewOverlay(store, snapshot, catalog.NewDraft(changes, seq)); err != nil {
			return err
		}
	}
	return nil
}

// fill inserts the usage in blocks, as a sink does.
func (b *backtestBench) fill(ctx context.Context, store sink.Store, s settings) error {
	start, end := sink.MonthBounds(benchMonth)
	events := &stream{accounts: b.accounts, start: start, every: (end - start) / int64(b.events+1)}
	partitions := make([]ratedStream, s.Partitions)
	var rows []sink.Row
	for n := range b.events {
		e := events.event()
		p := usage.PartitionOf(e.RoutingKey, s.Partitions)
		r := &partitions[p]
		r.add(&e)
		a := r.record.Activities[len(r.record.Activities)-1]
		rows = append(rows, sink.Row{Partition: int32(p), Offset: r.record.Offset, LogTime: r.record.LogTime, Activity: a})
		if len(r.record.Activities) == s.Batch {
			r.next()
		}
		if len(rows) == sink.DefaultConfig().MaxRows || n == b.events-1 {
			if err := store.Insert(ctx, sink.Block{Month: benchMonth, Rows: rows}); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return nil
}

// backtest rates the month again and looks whether all of it was.
func (b *backtestBench) backtest(ctx context.Context, history sink.History, book *backtest.Overlay) (time.Duration, error) {
	q := backtest.Query{}
	q.From, q.To = sink.MonthBounds(benchMonth)
	began := time.Now()
	result, err := backtest.Run(ctx, history, book, q, backtest.DefaultLimits(), nil)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	if len(result.Totals) != 1 || result.Totals[0].Events != int64(b.events) || result.Totals[0].Unrated != 0 || result.Accounts != min(len(b.accounts), b.events) {
		return 0, fmt.Errorf("of %d events of %d accounts the backtest tells %+v of %d", b.events, len(b.accounts), result.Totals, result.Accounts)
	}
	return took, nil
}

// measure alternates the backtest and the bare read.
func (b *backtestBench) measure(ctx context.Context, s settings, server clickhouseServer, out *report) (err error) {
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
	if err := b.fill(ctx, store, s); err != nil {
		return err
	}
	for way, book := range b.books {
		var r rivals
		err = r.alternate(s.Rounds,
			func(int) (sample, error) {
				return b.c.timed(ctx, s, b.events, func() (time.Duration, error) {
					return b.profiled(ctx, s, fmt.Sprint(server.kind, ".", way), store, book)
				})
			},
			func(int) (sample, error) {
				return b.c.timed(ctx, s, b.events, func() (time.Duration, error) { return b.read(ctx, database) })
			})
		if err != nil {
			return err
		}
		name, goal := "backtest, "+server.name+backtestWays[way], ""
		if server.kind == "native" {
			goal = "≥ 300000"
		}
		out.add(
			measured(name+": speed", "activities/s", r.subject.speed).goal(goal).
				note("%d activities of %d accounts, a month whole; %d at the same time", b.events, len(b.accounts), backtest.DefaultLimits().Workers),
			measured(name+": ratio to a bare read of the same rows", "×", r.ratio),
			measured(name+": bare read", "rows/s", r.bare.speed),
			measured(name+": ratio of processor time, all processes", "×", r.processor),
		)
		out.add(r.subject.cost(name)...)
		out.add(r.bare.cost(name + ", bare read")...)
	}
	return nil
}

func (b *backtestBench) profiled(ctx context.Context, s settings, name string, store sink.History, book *backtest.Overlay) (took time.Duration, err error) {
	if s.Profile == "" {
		return b.backtest(ctx, store, book)
	}
	profile, err := profileOf(func() (err error) { took, err = b.backtest(ctx, store, book); return err })
	if err != nil {
		return 0, err
	}
	return took, os.WriteFile(s.Profile+".backtest."+name, profile, 0o600)
}

// bareColumnsRead are those that rating again takes.
const bareColumnsRead = `source_partition, usage_offset, activity_index, kind, event_id, source, event_ns, account, product,
 attribute_names, attribute_values, quantity, charge, currency, event_package, has_amount, amount, amount_currency`

// read reads the rows, half of the accounts on each of two connections, into what the driver's types are.
func (b *backtestBench) read(ctx context.Context, conn ch.Conn) (time.Duration, error) {
	began := time.Now()
	middle := b.accounts[len(b.accounts)/2]
	var wait sync.WaitGroup
	var counts [2]int
	var errs [2]error
	for i, where := range []string{"account < ?", "account >= ?"} {
		wait.Go(func() {
			counts[i], errs[i] = readBare(ctx, conn, "SELECT "+bareColumnsRead+" FROM rated_activity WHERE "+where, middle)
		})
	}
	wait.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return 0, err
	}
	if counts[0]+counts[1] != b.events {
		return 0, fmt.Errorf("%d rows were read, not %d", counts[0]+counts[1], b.events)
	}
	return time.Since(began), nil
}

func readBare(ctx context.Context, conn ch.Conn, statement, middle string) (n int, err error) {
	rows, err := conn.Query(ctx, statement, middle)
	if err != nil {
		return 0, err
	}
	var texts [7]string
	var wide [2]int64
	var narrow [2]int32
	var small [2]int16
	var lists [2][]string
	var decimals [3]decimal.Decimal
	dest := []any{
		&narrow[0], &wide[0], &narrow[1], &small[0], &texts[0], &texts[1], &wide[1], &texts[2], &texts[3],
		&lists[0], &lists[1], &decimals[0], &decimals[1], &texts[4], &texts[5], &small[1], &decimals[2], &texts[6],
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return n, err
		}
		n++
	}
	return n, errors.Join(rows.Err(), rows.Close())
}
