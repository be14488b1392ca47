// Package live keeps the current invoices in Redis for those who watch them: a projection that is
// written after rating and can be lost at any time without loss of anything that counts.
//
// Projector implements rater.Live; Reader serves the API. It may import rater and its packages, ledger/money
// and the driver; never another adapter.
//
// Invariants: a write happens only where the partition's head is the one that its owner left; a line
// of an older version never replaces a newer one; a reader trusts a partition only under a head that is
// not rebuilding, otherwise it goes to PostgreSQL. All keys of a partition carry it as hash tag.
package live

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

//go:embed project.lua
var projectSource string

//go:embed read.lua
var readSource string

const (
	// partLines bounds the lines of one script, which blocks Redis while it runs: some milliseconds.
	partLines = 2000
	// keep is how long of log time an invoice is kept after the end of its period. It is longer than a rebuild brings invoices back.
	keep = 45 * 24 * time.Hour
)

// Projector writes the projections of any number of partitions. It is safe for concurrent use.
type Projector struct {
	client redis.UniversalClient
	clock  rater.Clock
	keys   keys
	script *redis.Script
}

var _ rater.Live = (*Projector)(nil)

// NewProjector returns a projector whose keys and channel begin with the prefix. The clock tells since when a partition
// without backlog is known to be rated.
func NewProjector(client redis.UniversalClient, clock rater.Clock, prefix string) *Projector {
	return &Projector{client: client, clock: clock, keys: keys(prefix), script: redis.NewScript(projectSource)}
}

// keys makes the names of keys; it is their prefix.
type keys string

func (k keys) tag(partition int32) string {
	return string(k) + "live:{" + strconv.Itoa(int(partition)) + "}:"
}

func (k keys) head(partition int32) string     { return k.tag(partition) + "head" }
func (k keys) lines(partition int32) string    { return k.tag(partition) + "lines" }
func (k keys) invoices(partition int32) string { return k.tag(partition) + "invoices" }
func (k keys) stem(partition int32) string     { return k.tag(partition) + "invoice:" }
func (k keys) channel() string                 { return string(k) + "live:changes" }

func (k keys) invoice(partition int32, id activity.ID) string {
	return k.stem(partition) + string(id[:])
}

// part is a piece of a projection, small enough for one script.
type part struct {
	keys   []string
	args   []any
	result *redis.Cmd
}

// Project applies the projections, all in one pipeline, each in parts of bounded size. A projection was applied when each
// of its parts was; when only some were, the head has not moved, or stands at a rebuild, and the view
// is whole again after the caller's next one. An error says that nobody knows about those not applied.
func (p *Projector) Project(ctx context.Context, ps []*rater.Projection) (applied []bool, err error) {
	applied = make([]bool, len(ps))
	parts := make([][]*part, len(ps))
	todo := make([]int, len(ps))
	for i, projection := range ps {
		parts[i], todo[i] = p.split(projection), i
	}
	for attempt := 0; len(todo) > 0; attempt++ {
		todo, err = p.run(ctx, parts, todo, applied)
		if err != nil {
			return applied, fmt.Errorf("project %d partitions: %w", len(ps), err)
		}
		if len(todo) == 0 {
			break
		}
		if attempt == 2 {
			return applied, fmt.Errorf("project %d partitions: redis forgets its scripts at once", len(ps))
		}
		if err := p.script.Load(ctx, p.client).Err(); err != nil {
			return applied, fmt.Errorf("load the projection's script: %w", err)
		}
	}
	return applied, nil
}

// run sends the parts of the projections in todo and returns those of which no part ran because Redis does not know the
// script.
func (p *Projector) run(ctx context.Context, parts [][]*part, todo []int, applied []bool) (again []int, err error) {
	pipeline := p.client.Pipeline()
	for _, i := range todo {
		for _, part := range parts[i] {
			part.result = p.script.EvalSha(ctx, pipeline, part.keys, part.args...)
		}
	}
	_, _ = pipeline.Exec(ctx) // the commands carry their errors
	for _, i := range todo {
		written, unknown := 0, 0
		for _, part := range parts[i] {
			n, failure := part.result.Int()
			switch {
			case failure == nil:
				written += n
			case redis.HasErrorPrefix(failure, "NOSCRIPT"):
				unknown++
			default:
				err = errors.Join(err, failure)
			}
		}
		applied[i] = written == len(parts[i])
		if unknown == len(parts[i]) {
			again = append(again, i)
		}
	}
	return again, err
}

// split turns a projection into parts. Without force every part expects the head and the last one moves it.
// With force the first part sets the head, as rebuilding while others follow.
func (p *Projector) split(projection *rater.Projection) []*part {
	through := projection.LogTime
	if projection.CaughtUp {
		through = max(through, p.clock.Now().UnixNano())
	}
	groups := grouped(projection.Lines)
	var parts []*part
	for first := true; first || len(groups) > 0; first = false {
		part, rest := p.part(projection, groups, first, through)
		parts, groups = append(parts, part), rest
	}
	return parts
}

// part takes as many lines from the front of the groups as fit; the lines of an invoice stay together if they can.
func (p *Projector) part(projection *rater.Projection, groups []group, first bool, through int64) (*part, []group) {
	var take []group
	size := 0
	for len(groups) > 0 && size < partLines {
		g := groups[0]
		if room := partLines - size; len(g.lines) > room {
			if size > 0 && len(g.lines) <= partLines {
				break
			}
			take = append(take, group{g.invoice, g.lines[:room]})
			groups[0].lines = g.lines[room:]
			size += room
			continue
		}
		take, groups, size = append(take, g), groups[1:], size+len(g.lines)
	}
	last := len(groups) == 0
	expect := projection.Expect
	if projection.Force {
		expect = projection.Next
	}
	force := projection.Force && first
	oldest, newest := versions(take)
	result := &part{
		keys: []string{p.keys.head(projection.Partition), p.keys.lines(projection.Partition), p.keys.invoices(projection.Partition)},
		args: append(make([]any, 0, 15+2*size), string(expect[:]), string(projection.Next[:]), flag(force), flag(force || last),
			flag(projection.Rebuilding || projection.Force && !last), flag(force && projection.Clear), projection.LogTime, through,
			seconds(projection.LogTime-int64(keep)), p.keys.channel(), message(take), appendVersion(nil, oldest), appendVersion(nil, newest),
			p.keys.stem(projection.Partition), invoices(take)),
	}
	values := make([]byte, 0, valueSize*size)
	for _, g := range take {
		for _, l := range g.lines {
			begin := len(values)
			values = appendLine(values, l)
			result.args = append(result.args, l.Line[:], values[begin:len(values):len(values)])
		}
	}
	return result, groups
}

// versions returns the smallest and the largest version of the lines.
func versions(groups []group) (oldest, newest int64) {
	oldest = math.MaxInt64
	for _, g := range groups {
		for _, l := range g.lines {
			oldest, newest = min(oldest, l.Version), max(newest, l.Version)
		}
	}
	return oldest, newest
}

// invoices lists the groups as the script reads them: invoice, end of its period, number of lines.
func invoices(groups []group) []byte {
	b := make([]byte, 0, len(groups)*(len(activity.ID{})+endDigits+countDigits))
	for _, g := range groups {
		b = append(b, g.invoice[:]...)
		b = appendDigits(b, seconds(g.lines[0].Period.End), endDigits)
		b = appendDigits(b, int64(len(g.lines)), countDigits)
	}
	return b
}

// seconds makes an instant a score, which has 53 bits.
func seconds(instant int64) int64 { return instant / int64(time.Second) }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// group is the lines of an invoice.
type group struct {
	invoice activity.ID
	lines   []*rater.LineState
}

// grouped gathers lines by invoice, in the order in which invoices come first.
func grouped(lines []rater.LineState) []group {
	groups := make([]group, 0, len(lines))
	at := make(map[activity.ID]int, len(lines))
	all := make([]*rater.LineState, len(lines))
	for i := range lines {
		l := &lines[i]
		all[i] = l
		if n, ok := at[l.Invoice]; ok {
			groups[n].lines = append(groups[n].lines, l)
			continue
		}
		at[l.Invoice] = len(groups)
		groups = append(groups, group{l.Invoice, all[i : i+1 : i+1]}) // most invoices have one line here
	}
	return groups
}

// The widths of numbers as text: enough for every version, for seconds, and for the lines of a part.
const versionDigits, endDigits, countDigits = 19, 11, 4

func appendVersion(b []byte, version int64) []byte { return appendDigits(b, version, versionDigits) }

// appendDigits writes a number with zeros before it, up to the width.
func appendDigits(b []byte, n int64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], max(n, 0), 10)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}
