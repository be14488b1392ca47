package live

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// Reader reads current invoices. It is safe for concurrent use.
type Reader struct {
	client redis.UniversalClient
	keys   keys
	script *redis.Script
}

// NewReader returns a reader of what a Projector with the same prefix writes.
func NewReader(client redis.UniversalClient, prefix string) *Reader {
	return &Reader{client: client, keys: keys(prefix), script: redis.NewScript(readSource)}
}

// trusted is how long of log time after the end of its period an invoice is read from here: a rebuild brings the lines of
// 40 days, so of an older invoice there may be some lines and not others.
const trusted = int64(38 * 24 * time.Hour)

// Invoice reads an invoice's lines on the partitions that it may have lines on, ordered by partition, family and
// position, and the instant that all of them are rated through: a partition without backlog counts as
// of its head's last write. Ok is false when what stands here is not to be trusted: a partition's head is missing
// or rebuilding, the invoice is old, or there is no line of it. Read PostgreSQL then, and after an error.
func (r *Reader) Invoice(ctx context.Context, invoice activity.ID, partitions []int32) (lines []rater.LineState, through int64, ok bool, err error) {
	answers, err := r.read(ctx, invoice, partitions)
	if err != nil {
		return nil, 0, false, fmt.Errorf("read invoice %s: %w", invoice, err)
	}
	through = math.MaxInt64
	for i, answer := range answers {
		if len(answer) != 4 || answer[0] != "0" {
			return nil, 0, false, nil
		}
		own, logTime, at, err := decodeAnswer(answer)
		if err != nil {
			return nil, 0, false, fmt.Errorf("read invoice %s on partition %d: %w", invoice, partitions[i], err)
		}
		if len(own) > 0 && own[0].Period.End < logTime-trusted {
			return nil, 0, false, nil
		}
		through = min(through, at)
		lines = append(lines, own...)
	}
	return lines, through, len(lines) > 0, nil
}

func decodeAnswer(answer []any) (lines []rater.LineState, logTime, through int64, err error) {
	for i, to := range []*int64{&logTime, &through} {
		text, _ := answer[1+i].(string)
		if *to, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, 0, 0, fmt.Errorf("head: %w", err)
		}
	}
	values, _ := answer[3].([]any)
	for _, value := range values {
		text, _ := value.(string)
		line, err := decode(text)
		if err != nil {
			return nil, 0, 0, err
		}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b rater.LineState) int {
		return cmp.Or(bytes.Compare(a.Family[:], b.Family[:]), cmp.Compare(a.Position, b.Position))
	})
	return lines, logTime, through, nil
}

func (r *Reader) read(ctx context.Context, invoice activity.ID, partitions []int32) ([][]any, error) {
	for attempt := 0; ; attempt++ {
		pipeline := r.client.Pipeline()
		commands := make([]*redis.Cmd, len(partitions))
		for i, partition := range partitions {
			commands[i] = r.script.EvalSha(ctx, pipeline, []string{r.keys.head(partition), r.keys.lines(partition), r.keys.invoice(partition, invoice)})
		}
		_, _ = pipeline.Exec(ctx) // the commands carry their errors
		answers := make([][]any, len(partitions))
		var err error
		unknown := false
		for i, command := range commands {
			answer, failure := command.Slice()
			if redis.HasErrorPrefix(failure, "NOSCRIPT") {
				unknown = true
			} else if failure != nil {
				err = errors.Join(err, failure)
			}
			answers[i] = answer
		}
		if err != nil || !unknown {
			return answers, err
		}
		if attempt == 2 {
			return nil, errors.New("redis forgets its scripts at once")
		}
		if err := r.script.Load(ctx, r.client).Err(); err != nil {
			return nil, fmt.Errorf("load the reading script: %w", err)
		}
	}
}
