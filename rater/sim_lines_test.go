package rater

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/tollstream/tollstream/rater/activity"
)

// simLine is a line's row: what stands in it, and the commit that wrote it, by its next offset.
type simLine struct {
	LineState
	cut int64
}

// simChanges are the changed lines of a commit, appended beside the rows until they are folded into them.
type simChanges struct {
	cut    int64
	lines  []LineState
	folded *activity.ID // up to this family it and those before it are folded; nil: nothing is
}

// saveLines puts a cut's lines into the rows, or those that stand beside them. Of these it takes no more than what an update writes.
func (w *world) saveLines(v *simPG, c *Cut) {
	v.rows = maps.Clone(v.rows)
	if v.rows == nil {
		v.rows = map[activity.ID][]simLine{}
	}
	large := w.n(2) == 0
	var changed []LineState
	for i, l := range c.Lines {
		known := i < len(c.Stored) && c.Stored[i]
		if known && large {
			changed = append(changed, l)
			continue
		}
		rows := slices.Clone(v.rows[l.Family])
		stands := l.Position < len(rows)
		for len(rows) <= l.Position {
			rows = append(rows, simLine{})
		}
		if known && stands {
			l = usual(rows[l.Position].LineState, &l)
		}
		rows[l.Position] = simLine{l, c.Next}
		v.rows[l.Family] = rows
	}
	if len(changed) > 0 {
		w.did("changed lines appended")
		v.changes = append(slices.Clip(v.changes), &simChanges{cut: c.Next, lines: changed})
	}
	w.seeLines(v)
}

// usual is a line with what usage usually changes taken from another.
func usual(l LineState, from *LineState) LineState {
	l.Quantity, l.Events, l.Amount, l.Segments, l.Seq, l.Version = from.Quantity, from.Events, from.Amount, from.Segments, from.Seq, from.Version
	l.RateLevel, l.RateAccount, l.RateID, l.RateModel = from.RateLevel, from.RateAccount, from.RateID, from.RateModel
	return l
}

// seeLines works out what readers find: the rows and what was appended since they were written.
func (w *world) seeLines(v *simPG) {
	v.lines = make(map[activity.ID][]LineState, len(v.rows))
	for id, rows := range v.rows {
		lines := make([]LineState, len(rows))
		for i := range rows {
			lines[i] = rows[i].LineState
		}
		v.lines[id] = lines
	}
	if w.faults.ChangesUnseen {
		return
	}
	for _, s := range v.changes {
		for i := range s.lines {
			l := &s.lines[i]
			if rows := v.rows[l.Family]; l.Position < len(rows) && (rows[l.Position].cut < s.cut || w.faults.OlderChangeSeen) {
				v.lines[l.Family][l.Position] = usual(rows[l.Position].LineState, l)
			}
		}
	}
}

// Fold folds what was appended into the rows, in two parts. What comes between is what may.
func (x simStore) Fold(ctx context.Context, f Fence) error {
	if err := x.reached(ctx); err != nil {
		return err
	}
	changes := x.w.pg[f.Partition].changes
	if len(changes) == 0 {
		return x.travel(ctx)
	}
	newest := changes[len(changes)-1]
	middle, last := activity.ID{0x80}, activity.ID(bytes.Repeat([]byte{0xff}, 16))
	var lost error
	for _, to := range []activity.ID{middle, last} {
		if from := newest.folded; from != nil && bytes.Compare(to[:], from[:]) <= 0 {
			continue
		}
		if err := x.w.foldPart(f, newest.cut, newest.folded, to); err != nil {
			return errors.Join(err, x.travel(ctx))
		}
		newest = &simChanges{cut: newest.cut, folded: &to}
		for range 4 {
			lost = x.travel(ctx) // the next part finds a connection
		}
	}
	return lost
}

var errSimFolding = errors.New("what was folded is not there any more")

// foldPart is one transaction: the newest of each line that commits up to one have appended, of the families above one up to another.
func (w *world) foldPart(f Fence, through int64, from *activity.ID, to activity.ID) error {
	o := w.pg[f.Partition]
	if o.epoch != f.Epoch || o.owner != f.Owner || o.c.Next < f.Next {
		return ErrFenced
	}
	at := slices.IndexFunc(o.changes, func(s *simChanges) bool { return s.cut == through })
	if at < 0 {
		return errSimFolding
	}
	if s := o.changes[at]; !reflect.DeepEqual(s.folded, from) {
		return errSimFolding
	}
	v := *o
	v.rows, v.changes = maps.Clone(o.rows), slices.Clone(o.changes)
	v.changes[at] = &simChanges{cut: through, lines: o.changes[at].lines, folded: &to}
	for _, s := range o.changes[:at+1] {
		for i := range s.lines {
			l := &s.lines[i]
			if from != nil && bytes.Compare(l.Family[:], from[:]) <= 0 || bytes.Compare(l.Family[:], to[:]) > 0 {
				continue
			}
			rows := slices.Clone(v.rows[l.Family])
			if l.Position < len(rows) && (rows[l.Position].cut < s.cut || w.faults.FoldOverNewer) {
				rows[l.Position] = simLine{usual(rows[l.Position].LineState, l), s.cut}
				v.rows[l.Family] = rows
			}
		}
	}
	if last := activity.ID(bytes.Repeat([]byte{0xff}, 16)); to == last {
		v.changes = v.changes[at+1:]
		if w.faults.FoldDropsAll {
			v.changes = nil
		}
	}
	w.did("changed lines folded")
	w.seeLines(&v)
	w.pg[f.Partition] = &v
	w.note()
	return nil
}
