package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tollstream/tollstream/collector"
	ckafka "github.com/tollstream/tollstream/collector/kafka"
	cpg "github.com/tollstream/tollstream/collector/pg"
	"github.com/tollstream/tollstream/collector/source"
)

// collected is a row of a file.
type collected struct {
	ID      string `json:"id" parquet:"id"`
	Account string `json:"account" parquet:"account"`
	Product string `json:"product" parquet:"product"`
	Time    string `json:"time" parquet:"time"`
	Seconds int64  `json:"seconds" parquet:"seconds"`
	Region  string `json:"region" parquet:"region"`
}

// collectedFiles are the formats that are measured: how a file of them is written, and what its configuration says.
var collectedFiles = []struct {
	name, format, goal string
	write              func(w io.Writer, rows func(yield func(*collected) bool)) error
}{
	{"delimited", "{type: delimited}", "≥ 300000", writeDelimited},
	{"NDJSON", "{type: ndjson}", "≥ 300000", func(w io.Writer, rows func(func(*collected) bool)) error {
		return writeObjects(w, rows, "", "\n", "\n")
	}},
	{"JSON", "{type: json}", "", func(w io.Writer, rows func(func(*collected) bool)) error {
		return writeObjects(w, rows, "[", ",\n", "]")
	}},
	{"Parquet", "{type: parquet}", "", writeParquet},
}

func writeDelimited(w io.Writer, rows func(func(*collected) bool)) error {
	_, err := io.WriteString(w, "id,account,product,time,seconds,region\n")
	for r := range rows {
		if err == nil {
			_, err = fmt.Fprintf(w, "%s,%s,%s,%s,%d,%s\n", r.ID, r.Account, r.Product, r.Time, r.Seconds, r.Region)
		}
	}
	return err
}

func writeObjects(w io.Writer, rows func(func(*collected) bool), before, between, after string) error {
	_, err := io.WriteString(w, before)
	next := ""
	for r := range rows {
		text, problem := json.Marshal(r)
		_, failed := fmt.Fprintf(w, "%s%s", next, text)
		err, next = errors.Join(err, problem, failed), between
	}
	_, failed := io.WriteString(w, after)
	return errors.Join(err, failed)
}

func writeParquet(w io.Writer, rows func(func(*collected) bool)) error {
	out := parquet.NewGenericWriter[collected](w)
	var err error
	for r := range rows {
		if err == nil {
			_, err = out.Write([]collected{*r})
		}
	}
	return errors.Join(err, out.Close())
}

const collectedMapping = `
mapping:
  id: {from: id}
  account: {from: account}
  product: {from: product}
  quantity: {from: seconds}
  time: {from: time}
  attributes: {region: {from: region}}
`

// measureCollect reads files from disk until the broker acknowledged the usage of every row, checkpoints in PostgreSQL included. The
// baseline reads the same file and produces its bytes, a hundred lines a record.
func measureCollect(ctx context.Context, c *corner, s settings, out *report) error {
	accounts := accountIDs(s.Accounts)
	defer func() { out.warn(c.clean()) }()
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	topic, bare := c.name+".collected", c.name+".lines"
	if err := c.pair(ctx, topic, bare, s.Partitions); err != nil {
		return err
	}
	producer, err := ckafka.New(ctx, ckafka.Config{Brokers: c.kafka, Topic: topic, Log: quiet()})
	if err != nil {
		return err
	}
	defer producer.Close()
	metrics := collector.NewMetrics(prometheus.NewRegistry())
	publisher, err := collector.NewPublisher(producer, collector.PublisherConfig{Partitions: s.Partitions}, metrics)
	if err != nil {
		return err
	}
	everybody := collector.ResolverFunc(func(_ context.Context, subjects []collector.Subject) ([]collector.Resolution, error) {
		answers := make([]collector.Resolution, len(subjects))
		for i, s := range subjects {
			answers[i] = collector.Resolution{Account: s.Value, RoutingKey: s.Value, From: collector.AlwaysFrom, Until: collector.AlwaysUntil}
		}
		return answers, nil
	})
	deps := collector.RunDeps{
		Intake: collector.NewIntake(collector.NewCachedResolver(everybody, 0, metrics), publisher, time.Now, metrics),
		Store:  cpg.New(pool, time.Now), Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: metrics,
	}
	for _, f := range collectedFiles {
		path := filepath.Join(c.data, "collected."+f.name)
		if err := writeRows(path, s.Events, accounts, f.write); err != nil {
			return err
		}
		config, err := collector.ParseConfig([]byte("format: " + f.format + collectedMapping))
		if err != nil {
			return err
		}
		var r rivals
		err = r.alternate(s.Rounds,
			func(int) (sample, error) {
				return c.timed(ctx, s, s.Events, func() (time.Duration, error) { return collectFile(ctx, deps, config, f.name, path, s.Events) })
			},
			func(int) (sample, error) {
				return c.timed(ctx, s, s.Events, func() (time.Duration, error) { return c.produceFile(ctx, path, bare, s.Partitions, s.Batch) })
			})
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		name := "file of " + f.name
		out.add(
			measured(name+": rows from disk to acknowledged", "rows/s", r.subject.speed).goal(f.goal).note("%d rows; the file is read twice, first to know its content", s.Events),
			measured(name+": ratio to reading and producing the same bytes", "×", r.ratio),
			measured(name+": the same bytes", "rows/s", r.bare.speed),
		)
		out.add(r.subject.cost(name)...)
		out.add(r.bare.cost(name + ", the same bytes")...)
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

func writeRows(path string, n int, accounts []string, write func(io.Writer, func(func(*collected) bool)) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	start := time.Now().Add(-time.Hour).UTC()
	w := bufio.NewWriterSize(file, 1<<20)
	err = write(w, func(yield func(*collected) bool) {
		for i := range n {
			r := collected{fmt.Sprintf("c-%09d", i), accounts[i%len(accounts)], "p1", start.Add(time.Duration(i) * time.Microsecond).Format(time.RFC3339Nano), int64(i % 1000), "eu-central-1"}
			if !yield(&r) {
				return
			}
		}
	})
	return errors.Join(err, w.Flush(), file.Close())
}

func collectFile(ctx context.Context, deps collector.RunDeps, config *collector.Config, name, path string, rows int) (time.Duration, error) {
	file, err := source.Local(path)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	result, err := collector.RunFile(ctx, deps, collector.RunRequest{Collector: name, Config: config, File: file, Again: true}, nil)
	if err != nil {
		return 0, err
	}
	if result.Sent != int64(rows) {
		return 0, fmt.Errorf("%d of %d rows were sent", result.Sent, rows)
	}
	return time.Since(began), nil
}

// produceFile reads a file and produces its bytes, so many lines a record; where there are no lines, 64 KiB.
func (c *corner) produceFile(ctx context.Context, path, topic string, partitions, batch int) (time.Duration, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	writer, err := kgo.NewClient(append(produceOptions(), kgo.SeedBrokers(c.kafka...), kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		return 0, fmt.Errorf("configure a Kafka client: %w", err)
	}
	defer writer.Close()
	if err := writer.Ping(ctx); err != nil {
		return 0, fmt.Errorf("reach Kafka: %w", err)
	}
	var failures atomic.Int64
	began := time.Now()
	in := bufio.NewReaderSize(file, 1<<20)
	var record []byte
	send := func(n int) {
		writer.Produce(ctx, &kgo.Record{Partition: int32(n % partitions), Value: bytes.Clone(record)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failures.Add(1)
			}
		})
		record = record[:0]
	}
	lines, sent := 0, 0
	for {
		line, err := in.ReadSlice('\n')
		record = append(record, line...)
		if err == nil {
			lines++
		}
		if lines == batch || len(record) > 64<<10 {
			send(sent)
			lines, sent = 0, sent+1
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, err
		}
	}
	if len(record) > 0 {
		send(sent)
	}
	if err := writer.Flush(ctx); err != nil || failures.Load() > 0 {
		return 0, fmt.Errorf("%d records were not written: %w", failures.Load(), err)
	}
	return time.Since(began), nil
}
