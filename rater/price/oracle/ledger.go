package oracle

import (
	"math/big"
	"slices"
	"strings"
)

// Ledger is the usage of a line while prices change, one change behind another. Each event is taken under the rate that it falls under
// at that time and stays its usage; what its rate made of it then stays as well: its cell, its rounded quantity, its charge where log
// order decides. Everything else is priced by the rates as they are when they are asked.
type Ledger struct {
	Usage Usage
	used  []*used
	rates []string // of each of them
}

// Take accepts an event under the rate of that id, which is among rates, or says why not.
func (g *Ledger) Take(rates []*Rate, id string, e Event) (reason string, ok bool) {
	l := g.line(rates, len(g.used))
	reason, ok = l.takeUnder(slices.IndexFunc(l.rates, func(r Rate) bool { return r.ID == id }), e)
	if ok {
		g.used, g.rates = append(g.used, l.used[len(l.used)-1]), append(g.rates, id)
	}
	return reason, ok
}

// Rates are the ids of the rates that have usage.
func (g *Ledger) Rates() []string { return g.rates }

// Events is how many were taken.
func (g *Ledger) Events() int { return len(g.used) }

// Total is what the events cost for which wanted says so, which is told their places. All their rates must be among rates.
func (g *Ledger) Total(rates []*Rate, wanted func(event int) bool) *big.Rat {
	l := g.line(rates, 0)
	for i, u := range g.used {
		if wanted(i) {
			u.rate = l.place(g.rates[i])
			l.used = append(l.used, u)
		}
	}
	s := num(0)
	for k := range l.rates {
		if slices.ContainsFunc(l.used, func(u *used) bool { return u.rate == k }) {
			s = add(s, sub(l.upTo(k, k), l.upTo(k, k-1)))
		}
	}
	return s
}

// line has the first of the events, and the rates in their order.
func (g *Ledger) line(rates []*Rate, events int) *line {
	rates = slices.SortedFunc(slices.Values(rates), func(a, b *Rate) int {
		if c := a.Start.Compare(b.Start); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	l := &line{usage: g.Usage}
	for _, r := range rates {
		l.rates, l.cells = append(l.rates, *r), append(l.cells, r.cells())
	}
	for i, u := range g.used[:events] {
		u.rate = l.place(g.rates[i])
		l.used = append(l.used, u)
	}
	return l
}

func (l *line) place(id string) int {
	return slices.IndexFunc(l.rates, func(r Rate) bool { return r.ID == id })
}

// Settle works out what is asked of a rate again and again. It must not change any more.
func (r *Rate) Settle() { r.settled = r.cells() }

// JSON is the rate as stored definitions hold it, with its id and currency: decimals are strings.
func (r *Rate) JSON() string {
	var b strings.Builder
	of := currency
	if r.Currency != "" {
		of = word(r.Currency)
	}
	write(&b, stored("", append(object{{"id", word(r.ID)}, {"currency", of}}, r.node()...)), true)
	return b.String()
}

func stored(name string, v any) any {
	switch v := v.(type) {
	case word:
		if _, number := new(big.Rat).SetString(string(v)); number && name != "free_events" && name != "precision" {
			return string(v)
		}
	case object:
		var o object
		for _, m := range v {
			o = append(o, member{m.name, stored(m.name, m.value)})
		}
		return o
	case list:
		var l list
		for _, e := range v {
			l = append(l, stored(name, e))
		}
		return l
	}
	return v
}
