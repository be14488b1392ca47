package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
)

// volumes are what rating some events moved between the processes.
type volumes struct {
	usage, rated float64 // bytes of the topics
	wal          float64 // bytes of PostgreSQL's log
	commands     float64 // of Redis, those of scripts included
	received     float64 // bytes by Redis
	lines        lineCounts
}

// volumes reads what has been moved so far; usage is left to fill.
func (r *rig) volumes(ctx context.Context) (v volumes, err error) {
	if v.rated, err = r.c.size(ctx, r.rated); err != nil {
		return v, err
	}
	if err := r.pool.QueryRow(ctx, "SELECT (pg_current_wal_lsn() - '0/0')::float8").Scan(&v.wal); err != nil {
		return v, fmt.Errorf("ask PostgreSQL how much it has logged: %w", err)
	}
	if v.commands, v.received, err = r.c.redisStats(ctx); err != nil {
		return v, err
	}
	r.witness.mu.Lock()
	defer r.witness.mu.Unlock()
	v.lines = r.witness.lines
	return v, nil
}

// size is the bytes of a topic's logs.
func (c *corner) size(ctx context.Context, topic string) (bytes float64, err error) {
	err = c.administer(func(admin *kadm.Client) error {
		dirs, err := admin.DescribeAllLogDirs(ctx, nil)
		if err != nil {
			return fmt.Errorf("ask for the size of %s: %w", topic, err)
		}
		dirs.Each(func(d kadm.DescribedLogDir) {
			d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
				if p.Topic == topic {
					bytes += float64(p.Size)
				}
			})
		})
		return nil
	})
	return bytes, err
}

func (c *corner) redisStats(ctx context.Context) (commands, received float64, err error) {
	options, err := redis.ParseURL(c.redis)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", envRedis, err)
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }()
	text, err := client.Info(ctx, "stats").Result()
	if err != nil {
		return 0, 0, fmt.Errorf("ask Redis for its counts: %w", err)
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch n, _ := strconv.ParseFloat(value, 64); name {
		case "total_commands_processed":
			commands = n
		case "total_net_input_bytes":
			received = n
		}
	}
	return commands, received, nil
}

// weighed rates what was filled in last and says what that moved.
func (r *rig) weighed(ctx context.Context, rate func() (time.Duration, error)) (moved volumes, took time.Duration, err error) {
	before, err := r.volumes(ctx)
	if err != nil {
		return moved, 0, err
	}
	if took, err = rate(); err != nil {
		return moved, 0, err
	}
	after, err := r.volumes(ctx)
	return volumes{
		r.filled, after.rated - before.rated, after.wal - before.wal, after.commands - before.commands, after.received - before.received,
		lineCounts{after.lines.saved - before.lines.saved, after.lines.shown - before.lines.shown},
	}, took, err
}

// volumeTable compares what an event moves.
const volumeTable = "What is moved, an event"

// The columns of volumeTable.
const (
	partUsage    = "`usage`, bytes"
	partRated    = "`rated`, bytes"
	partSaved    = "lines saved"
	partWAL      = "PostgreSQL's log, bytes"
	partShown    = "lines shown"
	partCommands = "commands of Redis"
	partReceived = "received by Redis, bytes"
)

// volumeFigures are the volumes of rounds, an event.
type volumeFigures struct{ parts map[string][]float64 }

func (f *volumeFigures) add(v volumes, events int) {
	if f.parts == nil {
		f.parts = map[string][]float64{}
	}
	for part, n := range map[string]float64{
		partUsage: v.usage, partRated: v.rated, partWAL: v.wal, partCommands: v.commands, partReceived: v.received,
		partSaved: float64(v.lines.saved), partShown: float64(v.lines.shown),
	} {
		f.parts[part] = append(f.parts[part], n/float64(events))
	}
}

func (f *volumeFigures) measures(subject string) (out []measure) {
	for _, part := range []string{partUsage, partRated, partSaved, partWAL, partShown, partCommands, partReceived} {
		out = append(out, measured(subject+": "+part, "1/event", f.parts[part]).in(volumeTable, subject, part))
	}
	return out
}
