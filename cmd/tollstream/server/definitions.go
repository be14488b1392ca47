package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tollstream/tollstream/collector"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/catalog"
	catalogpg "github.com/tollstream/tollstream/rater/catalog/pg"
)

// definitions shares compiled snapshots between the partitions of the process, which all activate the same
// sequence numbers at about the same time.
type definitions struct {
	*catalogpg.Store
	mu        sync.Mutex
	snapshots map[int64]*catalog.Snapshot
	newest    *catalog.Snapshot
}

var (
	_ rater.Definitions    = (*definitions)(nil)
	_ invoicer.Definitions = (*definitions)(nil)
)

// maxSnapshots bounds what is kept; a full cache is emptied.
const maxSnapshots = 64

func newDefinitions(s *catalogpg.Store) *definitions {
	return &definitions{Store: s, snapshots: map[int64]*catalog.Snapshot{}}
}

// Snapshot implements rater.Definitions. Waiting for one another's reading is meant: it is the same snapshot.
func (d *definitions) Snapshot(ctx context.Context, seq int64) (*catalog.Snapshot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.snapshots[seq]; s != nil {
		return s, nil
	}
	var s *catalog.Snapshot
	var err error
	if d.newest != nil && d.newest.Seq() < seq {
		s, err = d.Advance(ctx, d.newest, seq)
	} else {
		s, err = d.Store.Snapshot(ctx, seq)
	}
	if err != nil {
		return nil, err
	}
	if len(d.snapshots) >= maxSnapshots {
		clear(d.snapshots)
	}
	d.snapshots[seq] = s
	if d.newest == nil || d.newest.Seq() < seq {
		d.newest = s
	}
	return s, nil
}

// Lineage implements api.Lineage.
func (d *definitions) Lineage(ctx context.Context, account string) ([]string, error) {
	seq, err := d.CurrentSeq(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := d.Accounts(ctx, seq, []string{account})
	if err != nil {
		return nil, err
	}
	var chain []string
	for a := accounts[account]; a != nil; a = accounts[a.Parent] {
		chain = append(chain, a.ID)
	}
	return chain, nil
}

// subjects looks accounts up for the entrance.
type subjects struct{ store *catalogpg.Store }

// Resolve implements collector.Resolver.
func (s subjects) Resolve(ctx context.Context, ask []collector.Subject, answers []collector.Resolution) error {
	in := make([]catalogpg.Subject, len(ask))
	for i, a := range ask {
		in[i] = catalogpg.Subject(a)
	}
	found, err := s.store.ResolveSubjects(ctx, in)
	if err != nil {
		return fmt.Errorf("%w: %w", collector.ErrUnavailable, err)
	}
	for i, f := range found {
		answers[i] = collector.Resolution(f)
	}
	return nil
}

// How often the process looks whether definitions changed elsewhere, and whether a partition lacks some.
const (
	lookEvery      = 200 * time.Millisecond
	republishEvery = 15 * time.Second
)

// watchDefinitions makes the entrance forget resolutions when another process changed the definitions, and has what the checkpoint of
// a caught-up partition lacks published again.
func (p *process) watchDefinitions(ctx context.Context) error {
	look, again := time.NewTicker(lookEvery), time.NewTicker(republishEvery)
	defer look.Stop()
	defer again.Stop()
	seen := int64(0)
	lacking := map[int32]int64{} // partitions that lacked definitions the last time, and their position then
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if seq, err := p.catalog.CurrentSeq(ctx); err == nil { // when PostgreSQL is away, what is known goes on to serve
				p.resolver.AdvanceTo(seq)
				if seq != seen {
					seen = seq
					p.placed.forget()
				}
			}
		case <-again.C:
			if err := p.republish(ctx, lacking); err != nil && !errors.Is(err, context.Canceled) {
				p.Log.Debug("cannot look for partitions that lack definitions", "error", err)
			}
		}
	}
}

// republish sends definitions again to partitions that twice in a row lacked some though they had not moved: a
// publish that was acknowledged and then lost by the broker.
func (p *process) republish(ctx context.Context, lacking map[int32]int64) error {
	seq, err := p.catalog.CurrentSeq(ctx)
	if err != nil {
		return err
	}
	rows, err := p.rater.Checkpoints(ctx)
	if err != nil {
		return err
	}
	ends, err := p.usageEnds(ctx)
	if err != nil {
		return err
	}
	for _, c := range rows {
		before, twice := lacking[c.Partition]
		delete(lacking, c.Partition)
		if c.ActivatedSeq >= seq || c.Next < ends[c.Partition] {
			continue
		}
		if !twice || before != c.Next {
			lacking[c.Partition] = c.Next
			continue
		}
		if err := p.catalog.Republish(ctx, c.Partition, c.ActivatedSeq); err != nil {
			return err
		}
	}
	return nil
}
