package rater

import (
	"fmt"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/dedup"
)

// tallies are a partition's counts. Neighbours in the log mostly count under the same keys, so the ones used
// last are remembered.
type tallies struct {
	all    map[CountKey]*tally
	recent [2]*tally // without a currency, and with one

	day    int32 // the UTC day asked for last
	number int32 // of its month
}

// tally is what is counted under one key.
type tally struct {
	Counts
	key     CountKey
	changed bool // since the last cut
}

func newTallies(counts map[CountKey]Counts) tallies {
	t := tallies{all: make(map[CountKey]*tally, len(counts))}
	for k, c := range counts {
		t.all[k] = &tally{Counts: c, key: k}
	}
	return t
}

// of returns what is counted under the month and the currency, to be added to.
func (t *tallies) of(month int32, currency string) *tally {
	recent := &t.recent[0]
	if currency != "" {
		recent = &t.recent[1]
	}
	if *recent == nil || (*recent).key.Month != month || (*recent).key.Currency != currency {
		k := CountKey{Month: month, Currency: currency}
		if t.all[k] == nil {
			t.all[k] = &tally{key: k}
		}
		*recent = t.all[k]
	}
	(*recent).changed = true
	return *recent
}

// charge adds a charge to its month and currency.
func (t *tallies) charge(month int32, currency string, charge money.Decimal) {
	count := t.of(month, currency)
	sum, err := count.Charged.Add(charge)
	if err != nil {
		// 1.7e26 in one month and currency: no catalogue within the limits gets there in a partition's life.
		panic(fmt.Sprintf("bug: the sum of charges of month %d overflows", month))
	}
	count.Charged = sum
}

// fresh returns the counts that have changed since it was called last.
func (t *tallies) fresh() map[CountKey]Counts {
	out := map[CountKey]Counts{}
	for k, count := range t.all {
		if count.changed {
			out[k], count.changed = count.Counts, false
		}
	}
	return out
}

// month returns the UTC month of an instant as year*12 + month-1.
func (t *tallies) month(instant int64) int32 {
	if day := dedup.Day(instant); day != t.day || t.number == 0 {
		y, mo, _ := time.Unix(0, instant).UTC().Date()
		t.day, t.number = day, int32(y*12+int(mo)-1)
	}
	return t.number
}

// identities are those of the record in work: computed once, and what the duplicates index said of them before the step.
type identities struct {
	all   []usage.Identity
	known []dedup.Answer // of the index, as it was before this very record
	twins bool           // two events of the record have the same
	maker usage.Identifier
	table [2 * usage.MaxBatchEvents]uint16
}

// take computes the identities of the record's events.
func (x *identities) take(events []usage.Event) {
	x.all, x.twins = x.all[:0], false
	clear(x.table[:])
	for i := range events {
		id := x.maker.Identity(&events[i])
		at := (int(id[0]) | int(id[1])<<8) % len(x.table)
		for ; x.table[at] != 0; at = (at + 1) % len(x.table) {
			x.twins = x.twins || x.all[x.table[at]-1] == id
		}
		x.table[at] = uint16(i + 1)
		x.all = append(x.all, id)
	}
}
