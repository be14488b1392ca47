package pg

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/dedup"
)

// upsertRows bounds the rows, and so the bytes, of one statement.
const upsertRows = 4096

var (
	commitLockSQL        = statement("commit_lock")
	commitCheckpointsSQL = statement("commit_checkpoints")
	commitLinesSQL       = statement("commit_lines")
	commitKnownLinesSQL  = statement("commit_known_lines")
	commitRejectedSQL    = statement("commit_rejected")
	commitCountsSQL      = statement("commit_counts")
	commitSealsSQL       = statement("commit_seals")
	commitMarkersSQL     = statement("commit_markers")
	commitIdentitiesSQL  = statement("commit_identities")
)

// Commit writes several partitions' cuts in one transaction; a fenced one drops out without failing the others. Any
// error leaves the outcome of the rest unknown: the rows tell. A partition may have one cut only; of
// several the first counts.
func (s *Store) Commit(ctx context.Context, cuts []*rater.Cut) ([]rater.Outcome, error) {
	outcomes := make([]rater.Outcome, len(cuts))
	for i := range outcomes {
		outcomes[i] = rater.OutcomeUnknown
	}
	if len(cuts) == 0 {
		return outcomes, nil
	}
	touched, err := s.commit(ctx, cuts)
	if err != nil && !errors.Is(err, errAllFenced) {
		return outcomes, fmt.Errorf("commit %d partitions: %w", len(cuts), err)
	}
	for i, c := range cuts {
		outcomes[i] = rater.OutcomeFenced
		if touched[c.Fence.Partition] {
			outcomes[i] = rater.OutcomeCommitted
			touched[c.Fence.Partition] = false
		}
	}
	return outcomes, nil
}

var errAllFenced = errors.New("every partition is fenced")

func (s *Store) commit(ctx context.Context, cuts []*rater.Cut) (touched map[int32]bool, err error) {
	sorted := slices.Clone(cuts)
	slices.SortStableFunc(sorted, func(a, b *rater.Cut) int { return cmp.Compare(a.Fence.Partition, b.Fence.Partition) })
	sorted = slices.CompactFunc(sorted, func(a, b *rater.Cut) bool { return a.Fence.Partition == b.Fence.Partition })
	w, err := writes(sorted) // before a row is locked: PostgreSQL ends a session that holds locks for long without a word
	if err != nil {
		return nil, err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if touched, err = moveCheckpoints(ctx, tx, sorted); err != nil {
			return err
		}
		if len(touched) == 0 {
			return errAllFenced // nothing was written: roll back
		}
		if len(touched) < len(sorted) {
			mine := slices.DeleteFunc(sorted, func(c *rater.Cut) bool { return !touched[c.Fence.Partition] })
			if w, err = writes(mine); err != nil {
				return err
			}
		}
		if w.batch.Len() == 0 {
			return nil
		}
		if err := tx.SendBatch(ctx, w.batch).Close(); err != nil {
			return err
		}
		if err := w.changes.copy(ctx, tx); err != nil || len(w.known) == 0 {
			return err
		}
		return w.update(ctx, tx)
	})
	return touched, err
}

// moveCheckpoints moves the rows that are still the writers' and returns their partitions.
func moveCheckpoints(ctx context.Context, tx pgx.Tx, cuts []*rater.Cut) (map[int32]bool, error) {
	n := len(cuts)
	partition, leader := make([]int32, n), make([]int32, n)
	owner := make(pgtype.FlatArray[pgtype.UUID], n)
	var epoch, previous, next, last, ratedNext, logTime, seq, sum []int64
	for i, c := range cuts {
		partition[i], leader[i], owner[i] = c.Fence.Partition, c.LeaderEpoch, uuid(c.Fence.Owner)
		epoch = append(epoch, c.Fence.Epoch)
		previous = append(previous, c.Fence.Next)
		next = append(next, c.Next)
		last = append(last, c.Last)
		ratedNext = append(ratedNext, c.RatedNext)
		logTime = append(logTime, c.LogTime)
		seq = append(seq, c.ActivatedSeq)
		sum = append(sum, int64(c.ActivatedSum))
	}
	batch := &pgx.Batch{}
	batch.Queue(commitLockSQL, partition, epoch, owner, previous)
	touched := make(map[int32]bool, n)
	batch.Queue(commitCheckpointsSQL, partition, epoch, owner, previous, next, last, leader, ratedNext, logTime, seq, sum).
		Query(func(rows pgx.Rows) error {
			var p int32
			_, err := pgx.ForEachRow(rows, []any{&p}, func() error { touched[p] = true; return nil })
			return err
		})
	return touched, tx.SendBatch(ctx, batch).Close()
}

// byIndexSQL leaves the update of lines one plan, which is kept: what a session saw of a table when it was small says nothing of it later.
const byIndexSQL = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)"

// writing is what a commit sends after it has moved the checkpoints: the batch, then the updates of lines that stand.
type writing struct {
	batch   *pgx.Batch
	known   []knownChunk
	updates pgconn.Batch // one of each
	changes changes
}

// writes queues what the cuts write beside their checkpoints, sorted by the tables' keys.
func writes(cuts []*rater.Cut) (*writing, error) {
	w := &writing{batch: &pgx.Batch{}}
	if err := w.queueLines(cuts); err != nil {
		return nil, err
	}
	queueRejected(w.batch, cuts)
	queueAnswered(w.batch, cuts)
	queueCounts(w.batch, cuts)
	queuePools(w.batch, cuts)
	queueValues(w.batch, cuts)
	queueSets(w.batch, cuts)
	queueLevels(w.batch, cuts)
	queueSeals(w.batch, cuts)
	queueMarkers(w.batch, cuts)
	queueIdentities(w.batch, cuts)
	w.changes.queue(w.batch)
	if len(w.known) > 0 {
		w.batch.Queue(byIndexSQL)
	}
	return w, nil
}

func (w *writing) queueLines(cuts []*rater.Cut) error {
	fresh := &lineColumns{}
	for _, c := range cuts {
		var known, others []*rater.LineState
		for i := range c.Lines {
			if i < len(c.Stored) && c.Stored[i] {
				known = append(known, &c.Lines[i])
			} else {
				others = append(others, &c.Lines[i])
			}
		}
		if len(known) >= appendLines {
			w.changes.append(c, sortedLines(known))
			known = nil
		}
		for chunk := range slices.Chunk(sortedLines(known), upsertRows) {
			w.known = append(w.known, knownChunk{c.Fence.Partition, c.Next, chunk})
			w.updates.ExecPrepared(knownStatement, knownLines(c.Fence.Partition, c.Next, chunk), []int16{pgx.BinaryFormatCode}, nil)
		}
		for _, l := range sortedLines(others) {
			if err := fresh.add(c.Fence.Partition, c.Next, l); err != nil {
				return err
			}
			if len(fresh.partition) == upsertRows {
				w.batch.Queue(commitLinesSQL, fresh.arguments()...)
				fresh = &lineColumns{}
			}
		}
	}
	if len(fresh.partition) > 0 {
		w.batch.Queue(commitLinesSQL, fresh.arguments()...)
	}
	return nil
}

// knownChunk is lines of a partition that stand, in the order of their keys.
type knownChunk struct {
	partition int32
	cut       int64
	lines     []*rater.LineState
}

// knownStatement is the name of commitKnownLinesSQL where it is prepared: once a session.
const knownStatement = "commit_known_lines"

// update updates the lines that stand. Should one of a chunk not stand after all, all of the chunk are written whole.
func (w *writing) update(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Conn().Prepare(ctx, knownStatement, commitKnownLinesSQL); err != nil {
		return err
	}
	missing := &pgx.Batch{}
	results := tx.Conn().PgConn().ExecBatch(ctx, &w.updates)
	for _, c := range w.known {
		if !results.NextResult() {
			break // Close says why
		}
		done, err := results.ResultReader().Close()
		if err != nil || done.RowsAffected() == int64(len(c.lines)) {
			continue
		}
		columns := &lineColumns{}
		for _, l := range c.lines {
			if err := columns.add(c.partition, c.cut, l); err != nil {
				return errors.Join(err, results.Close())
			}
		}
		missing.Queue(commitLinesSQL, columns.arguments()...)
	}
	if err := results.Close(); err != nil || missing.Len() == 0 {
		return err
	}
	return tx.SendBatch(ctx, missing).Close()
}

func sortedLines(lines []*rater.LineState) []*rater.LineState {
	slices.SortFunc(lines, func(a, b *rater.LineState) int {
		return cmp.Or(bytes.Compare(a.Family[:], b.Family[:]), cmp.Compare(a.Position, b.Position))
	})
	return lines
}

func queueCounts(batch *pgx.Batch, cuts []*rater.Cut) {
	var partition, month []int32
	var currency, charged []string
	var accepted, retried, rated, duplicates, rejected []int64
	for _, c := range cuts {
		keys := make([]rater.CountKey, 0, len(c.Counts))
		for k := range c.Counts {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b rater.CountKey) int {
			return cmp.Or(cmp.Compare(a.Month, b.Month), cmp.Compare(a.Currency, b.Currency))
		})
		for _, k := range keys {
			n := c.Counts[k]
			partition, month, currency = append(partition, c.Fence.Partition), append(month, k.Month), append(currency, k.Currency)
			accepted, retried = append(accepted, n.Accepted), append(retried, n.Retried)
			rated, duplicates = append(rated, n.Rated), append(duplicates, n.Duplicates)
			rejected, charged = append(rejected, n.Rejected), append(charged, n.Charged.String())
		}
	}
	if len(partition) > 0 {
		batch.Queue(commitCountsSQL, partition, month, currency, accepted, retried, rated, duplicates, rejected, charged)
	}
}

func queueSeals(batch *pgx.Batch, cuts []*rater.Cut) {
	var partition []int32
	var account []string
	var through []int64
	var points [][]byte
	for _, c := range cuts {
		seals := slices.Clone(c.Seals)
		slices.SortFunc(seals, func(a, b rater.SealState) int { return cmp.Compare(a.Account, b.Account) })
		for _, state := range seals {
			newest := int64(0)
			for i, point := range state.Seals {
				if i == 0 || point.Through > newest {
					newest = point.Through
				}
			}
			partition, account = append(partition, c.Fence.Partition), append(account, state.Account)
			through, points = append(through, newest), append(points, encodeSeals(state.Seals))
		}
	}
	if len(partition) > 0 {
		batch.Queue(commitSealsSQL, partition, account, through, points)
	}
}

func queueMarkers(batch *pgx.Batch, cuts []*rater.Cut) {
	for _, c := range cuts {
		markers := slices.Clone(c.Markers)
		slices.SortFunc(markers, func(a, b rater.MarkerState) int { return cmp.Compare(a.Account, b.Account) })
		for _, m := range markers { // few, and parts are arrays of their own
			batch.Queue(commitMarkersSQL, c.Fence.Partition, m.Account, m.Seq, m.Attempt, m.At, m.Open, m.Over, m.Done, slices.Clip(m.Parts), m.Under, encodeSets(m.Sets))
		}
	}
}

const sealSize = 16

func encodeSeals(seals []rater.SealPoint) []byte {
	b := make([]byte, 0, len(seals)*sealSize)
	for _, s := range seals {
		b = binary.BigEndian.AppendUint64(b, uint64(s.Through))
		b = binary.BigEndian.AppendUint64(b, uint64(s.Seq))
	}
	return b
}

func decodeSeals(b []byte) ([]rater.SealPoint, error) {
	if len(b)%sealSize != 0 {
		return nil, fmt.Errorf("%d bytes are not a list of seals", len(b))
	}
	var seals []rater.SealPoint
	for ; len(b) > 0; b = b[sealSize:] {
		seals = append(seals, rater.SealPoint{Through: int64(binary.BigEndian.Uint64(b)), Seq: int64(binary.BigEndian.Uint64(b[8:]))})
	}
	return seals, nil
}

// queueIdentities queues a statement for each segment: a value takes PostgreSQL half the time that an element of an array does.
func queueIdentities(batch *pgx.Batch, cuts []*rater.Cut) {
	for _, c := range cuts {
		// Log time never goes back, so a cut's entries are ordered by the day of their arrival.
		for rest := c.Identities; len(rest) > 0; {
			day, n := dedup.Day(rest[0].Arrived), 1
			for n < len(rest) && dedup.Day(rest[n].Arrived) == day {
				n++
			}
			batch.Queue(commitIdentitiesSQL, c.Fence.Partition, day, c.Next, encodeSegment(rest[:n]))
			rest = rest[n:]
		}
	}
}

// queueAnswered ends the waiting of corrections, which are written before or here.
func queueAnswered(batch *pgx.Batch, cuts []*rater.Cut) {
	for _, c := range cuts {
		var keys []RejectedKey
		for _, at := range c.Answered {
			keys = append(keys, RejectedKey{c.Fence.Partition, at.Offset, at.Index})
		}
		if len(keys) > 0 {
			partition, offset, index := columnsOf(keys)
			batch.Queue(rejectedMarkSQL, partition, offset, index, string(RejectedRetried))
		}
	}
}

func queueRejected(batch *pgx.Batch, cuts []*rater.Cut) {
	var partition, index []int32
	var offset, logTime, eventTime []int64
	var reason, account, product, source, id []string
	var retry []bool
	var event, raw [][]byte
	flush := func() {
		if len(partition) > 0 {
			batch.Queue(commitRejectedSQL, partition, offset, index, logTime, reason, retry, account, product, source, id, eventTime, event, raw)
		}
		partition, index, offset, logTime, eventTime = nil, nil, nil, nil, nil
		reason, account, product, source, id, retry, event, raw = nil, nil, nil, nil, nil, nil, nil, nil
	}
	for _, c := range cuts {
		for i := range c.Rejected {
			r := &c.Rejected[i]
			e := &r.Event
			encoded := []byte{}
			if r.Raw == nil {
				encoded = usage.AppendEvent(usage.AppendKind(encoded, usage.KindRetry), e)
			}
			partition, offset, index = append(partition, c.Fence.Partition), append(offset, r.Offset), append(index, int32(r.Index))
			logTime, reason, retry = append(logTime, r.LogTime), append(reason, r.Reason), append(retry, r.Retry)
			account, product = append(account, cmp.Or(e.Account, e.Subject)), append(product, e.Product)
			source, id, eventTime = append(source, e.Source), append(id, e.ID), append(eventTime, e.Time)
			event, raw = append(event, encoded), append(raw, append([]byte{}, r.Raw...))
			if len(partition) == upsertRows {
				flush()
			}
		}
	}
	flush()
}
