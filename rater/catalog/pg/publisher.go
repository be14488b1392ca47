package pg

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
)

var (
	//go:embed queries/outbox.sql
	outbox string
	//go:embed queries/changed_refs.sql
	changedRefs string
	//go:embed queries/advance_published.sql
	advancePublished string
	//go:embed queries/set_back_published.sql
	setBackPublished string
	//go:embed queries/add_published.sql
	addPublished string
)

// Broadcaster writes an encoded record to one partition of the usage topic and returns when it is
// acknowledged. It may be called for several partitions at a time and repeated after an error.
type Broadcaster interface {
	Broadcast(ctx context.Context, partition int32, record []byte) error
}

// PublisherConfig has a default for everything but Partitions.
type PublisherConfig struct {
	Partitions int
	Window     time.Duration // how long changes gather before they are sent; default 10 ms, at most 50
	Poll       time.Duration // how often to look without a notification; default 1 s
	Retry      time.Duration // the first pause after an error, doubled up to 50 times as much; default 100 ms
	Timeout    time.Duration // for one broadcast; default 30 s
}

const (
	maxWindow        = 50 * time.Millisecond
	parallelSends    = 16
	retryGrowthLimit = 50
)

func (c PublisherConfig) withDefaults() PublisherConfig {
	pick := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	pick(&c.Window, 10*time.Millisecond)
	pick(&c.Poll, time.Second)
	pick(&c.Retry, 100*time.Millisecond)
	pick(&c.Timeout, 30*time.Second)
	c.Window = min(c.Window, maxWindow)
	return c
}

// Publisher tells every partition of every sequence number, in order and at least once. Of several
// processes one publishes at a time; the others wait to take over.
type Publisher struct {
	store  *Store
	to     Broadcaster
	config PublisherConfig
	log    *slog.Logger
}

// NewPublisher makes a publisher; Run starts it.
func NewPublisher(store *Store, to Broadcaster, config PublisherConfig, log *slog.Logger) (*Publisher, error) {
	if config.Partitions < 1 {
		return nil, fmt.Errorf("make the catalogue's publisher: %d partitions", config.Partitions)
	}
	return &Publisher{store: store, to: to, config: config.withDefaults(), log: log}, nil
}

// ApplyAndPublish applies the document and returns when every partition has acknowledged it: usage
// that is accepted afterwards is priced under it. After an error of the wait the document is
// applied and will be published; applying it again waits again.
func (p *Publisher) ApplyAndPublish(ctx context.Context, doc *catalog.Document) (Result, error) {
	result, err := p.store.Apply(ctx, doc)
	if err != nil {
		return Result{}, err
	}
	return result, p.WaitPublished(ctx, result.Seq)
}

// WaitPublished returns when every partition has acknowledged the sequence number. Any process's
// publisher may do the work.
func (p *Publisher) WaitPublished(ctx context.Context, seq int64) error {
	const first, longest = 4 * time.Millisecond, 100 * time.Millisecond
	for pause := first; ; pause = min(2*pause, longest) {
		var told int
		err := p.store.pool.QueryRow(ctx, "SELECT count(*) FROM catalog_published WHERE partition < $1 AND seq >= $2",
			p.config.Partitions, seq).Scan(&told)
		if err != nil {
			return fmt.Errorf("wait until definitions %d are published: %w", seq, err)
		}
		if told >= p.config.Partitions {
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fmt.Errorf("wait until definitions %d are published (%d of %d partitions have them): %w", seq, told, p.config.Partitions, err)
		}
	}
}

// Republish says that a caught-up partition has activated no more than the sequence number: what
// follows is sent to it again, in order, by whoever publishes. It may be repeated.
func (s *Store) Republish(ctx context.Context, partition int32, activated int64) error {
	tag, err := s.pool.Exec(ctx, setBackPublished, partition, activated)
	if err != nil {
		return fmt.Errorf("publish definitions to partition %d again from %d: %w", partition, activated, err)
	}
	if tag.RowsAffected() > 0 {
		if _, err := s.pool.Exec(ctx, "SELECT pg_notify($1, '')", notifyChange); err != nil {
			return fmt.Errorf("notify publishers: %w", err)
		}
	}
	return nil
}

// Run publishes until the context ends, and returns its error. Everything else is retried.
func (p *Publisher) Run(ctx context.Context) error {
	pause := p.config.Retry
	for {
		began := time.Now()
		err := p.lead(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) > p.config.Retry*retryGrowthLimit {
			pause = p.config.Retry
		}
		p.log.Warn("definitions are not being published", "error", err, "retry_seconds", pause.Seconds())
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, p.config.Retry*retryGrowthLimit)
	}
}

// lead waits for the lock and publishes while it has it. Lock, reads and writes share one session:
// whoever lost the lock cannot move a position either.
func (p *Publisher) lead(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, p.store.pool.Config().ConnConfig.Copy())
	if err != nil {
		return fmt.Errorf("publish definitions: connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the session ends either way
	const lock = "SELECT pg_advisory_lock(hashtextextended('tollstream catalog publisher ' || current_schema(), 0))"
	if _, err := conn.Exec(ctx, lock); err != nil {
		return fmt.Errorf("publish definitions: take the lock: %w", err)
	}
	if _, err := conn.Exec(ctx, "LISTEN "+notifyChange); err != nil {
		return fmt.Errorf("publish definitions: listen: %w", err)
	}
	if _, err := conn.Exec(ctx, addPublished, p.config.Partitions); err != nil {
		return fmt.Errorf("publish definitions: prepare the partitions: %w", err)
	}
	for {
		behind, err := p.round(ctx, conn)
		if err != nil {
			return err
		}
		if behind {
			continue
		}
		if err := p.awaitChange(ctx, conn); err != nil {
			return err
		}
	}
}

// awaitChange returns after a notification and the window in which more may follow, or when it is
// time to look without one.
func (p *Publisher) awaitChange(ctx context.Context, conn *pgx.Conn) error {
	limited, cancel := context.WithTimeout(ctx, p.config.Poll)
	defer cancel()
	if _, err := conn.WaitForNotification(limited); err != nil {
		if ctx.Err() == nil && limited.Err() != nil && !conn.IsClosed() {
			return nil
		}
		return fmt.Errorf("publish definitions: wait for changes: %w", err)
	}
	return sleep(ctx, p.config.Window)
}

// round sends each partition the next range that it lacks. Partitions that fail stay where they
// are; the error comes after the others were served.
func (p *Publisher) round(ctx context.Context, conn *pgx.Conn) (behind bool, err error) {
	var head int64
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM catalog_outbox").Scan(&head); err != nil {
		return false, fmt.Errorf("publish definitions: read the newest: %w", err)
	}
	rows, err := conn.Query(ctx, "SELECT partition, seq FROM catalog_published WHERE seq < $1 AND partition < $2", head, p.config.Partitions)
	if err != nil {
		return false, fmt.Errorf("publish definitions: read the positions: %w", err)
	}
	lacking := map[int64][]int32{} // by the last sequence number that they have
	var partition int32
	var seq int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &seq}, func() error {
		lacking[seq] = append(lacking[seq], partition)
		return nil
	}); err != nil {
		return false, fmt.Errorf("publish definitions: read the positions: %w", err)
	}
	var failures []error
	for _, from := range slices.Sorted(maps.Keys(lacking)) {
		d, err := definitionsAfter(ctx, conn, from)
		if err != nil {
			return false, err
		}
		done, err := p.send(ctx, lacking[from], d)
		if err != nil {
			failures = append(failures, err)
		}
		if len(done) == 0 {
			continue
		}
		if _, err := conn.Exec(ctx, advancePublished, done, d.From, d.To); err != nil {
			return false, fmt.Errorf("publish definitions: note that %d to %d were sent: %w", d.From, d.To, err)
		}
	}
	return len(lacking) > 0, errors.Join(failures...)
}

// send broadcasts one record and returns the partitions that acknowledged it.
func (p *Publisher) send(ctx context.Context, partitions []int32, d *usage.Definitions) ([]int32, error) {
	record := usage.AppendRecord(nil, &usage.Record{Kind: usage.KindDefinitions, Definitions: d})
	slots := make(chan struct{}, parallelSends)
	failed := make([]error, len(partitions))
	var sends sync.WaitGroup
	for i, partition := range partitions {
		slots <- struct{}{}
		sends.Go(func() {
			defer func() { <-slots }()
			limited, cancel := context.WithTimeout(ctx, p.config.Timeout)
			defer cancel()
			failed[i] = p.to.Broadcast(limited, partition, record)
		})
	}
	sends.Wait()
	var done []int32
	var first error
	for i, err := range failed {
		switch {
		case err == nil:
			done = append(done, partitions[i])
		case first == nil:
			first = fmt.Errorf("publish definitions %d to %d to partition %d: %w", d.From, d.To, partitions[i], err)
		}
	}
	return done, first
}

// definitionsAfter makes the record of as many sequence numbers after from as fit into one.
func definitionsAfter(ctx context.Context, q querier, from int64) (*usage.Definitions, error) {
	d := &usage.Definitions{From: from + 1, To: from}
	if from > 0 {
		var hash int64
		if err := q.QueryRow(ctx, "SELECT hash FROM catalog_outbox WHERE seq = $1", from).Scan(&hash); err != nil {
			return nil, fmt.Errorf("publish definitions: read the link at %d: %w", from, err)
		}
		d.PreviousHash = uint64(hash)
	}
	rows, err := q.Query(ctx, outbox, from, usage.MaxDefinitionRange)
	if err != nil {
		return nil, fmt.Errorf("publish definitions: read the links after %d: %w", from, err)
	}
	var seq, hash, count, total int64
	full := false
	if _, err := pgx.ForEachRow(rows, []any{&seq, &hash, &count}, func() error {
		total += count
		if full = full || d.To > from && total > usage.MaxDefinitionRefs; full {
			return nil
		}
		if seq != d.To+1 {
			return fmt.Errorf("publish definitions: %d follows %d in the outbox", seq, d.To)
		}
		d.To, d.Hash, d.All = seq, uint64(hash), total > usage.MaxDefinitionRefs
		d.Links = append(d.Links, d.Hash)
		full = d.All
		return nil
	}); err != nil {
		return nil, err
	}
	if d.All {
		return d, nil
	}
	rows, err = q.Query(ctx, changedRefs, d.From, d.To)
	if err != nil {
		return nil, fmt.Errorf("publish definitions: read what changed in %d to %d: %w", d.From, d.To, err)
	}
	d.Changed, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (ref usage.DefinitionRef, err error) {
		err = r.Scan(&ref.Seq, &ref.Kind, &ref.ID, &ref.Account)
		return ref, err
	})
	if err != nil {
		return nil, fmt.Errorf("publish definitions: read what changed in %d to %d: %w", d.From, d.To, err)
	}
	return d, nil
}

// sleep waits, or returns the context's error when it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
