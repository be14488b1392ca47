package rater

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Lines that take over a level do so from lines that may be summed up under other definitions, or not at all. So levels are carried over once all
// usage is added up, in the order of the periods.

// cells are those in which the line has taken over a level, or begun with one.
func (h *home) cells() []string { return levelsOf(&h.LineState) }

func levelsOf(l *LineState) []string {
	f, err := loadFamily([]LineState{*l}, words{})
	if err != nil {
		return nil
	}
	return f.levels()
}

// begins has a line begin in cells with a level that is known later.
func (f *Fold) begins(e *usage.Event, on Invoiced, cells []string) error {
	r, reason := f.place(e, on)
	if reason != "" || !r.carries {
		return nil //nolint:nilerr // where there is no rate any more it begins with nothing
	}
	var list []segment
	for _, cell := range cells {
		if s, ok := f.pricer.begins(r, cell, money.Decimal{}); ok {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil
	}
	at, ok := f.begin(list, e.Account, r, f.words)
	if !ok {
		return fmt.Errorf("line %s is too large to be summed up", e.ID)
	}
	f.take(r.f, at, r.seq, func(*line, money.Decimal) {})
	return nil
}

// levels carries levels over into everything that was summed up.
func (s folding) levels(order []*home) error {
	all := map[activity.ID]*family{}
	used := map[activity.ID]bool{}
	stored := map[activity.ID][]LineState{}
	for _, h := range order {
		used[h.Family] = used[h.Family] || h.used
		stored[h.Family] = append(stored[h.Family], h.LineState)
	}
	for id, lines := range stored {
		if used[id] { // what it leaves goes by what was summed up
			continue
		}
		slices.SortFunc(lines, func(a, b LineState) int { return cmp.Compare(a.Position, b.Position) })
		f, err := loadFamily(lines, words{})
		if err != nil {
			return err
		}
		all[id] = f
	}
	type summed struct {
		*Fold
		f *family
	}
	var families []summed
	for _, fold := range s.of {
		for _, f := range fold.order {
			all[f.id] = f
			families = append(families, summed{fold, f})
		}
	}
	slices.SortFunc(families, func(a, b summed) int {
		return cmp.Or(cmp.Compare(a.f.period.Start, b.f.period.Start), slices.Compare(a.f.id[:], b.f.id[:]))
	})
	for _, x := range families {
		x.all = all
		for _, cell := range x.f.levels() {
			r := resolution{plan: x.plans.of(s.q.Account).plan, product: &catalog.Product{ID: x.f.product}, pkg: x.f.pkg, group: x.f.group, usagePeriod: x.f.period}
			level, _ := x.levelBefore(&r, s.q.Account, cell, nil)
			if had, _ := x.f.tookOver(cell); had == level {
				continue
			}
			x.f.takeOver(cell, level)
			if !x.reprice(x.f, -1, nil) {
				return fmt.Errorf("a line of %s is too large to be summed up", x.f.product)
			}
			x.take(x.f, -1, x.f.seq, func(*line, money.Decimal) {})
		}
	}
	return nil
}
