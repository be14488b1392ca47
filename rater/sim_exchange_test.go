package rater

import (
	"math/big"
	"slices"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/catalog"
	priceoracle "github.com/tollstream/tollstream/rater/price/oracle"
)

// Where prices are of all methods, they and the amounts of events are in several currencies; the accounts' is the dollar. Exchange rates
// are imported, corrected and deleted while usage is rated; those of a day before all usage stay.

// simMoneys are the currencies of amounts; nothing turns pounds into anything.
var simMoneys = []string{"USD", "USD", "USD", "EUR", "EUR", "JPY", "JPY", "GBP"}

// simDayRates are what one euro cost on a day, nil: not known.
type simDayRates struct {
	day     int64
	dollars *big.Rat
	yen     *big.Rat
}

// exchangeDay draws a day for exchange rates, often one that has some.
func (w *world) exchangeDay() int {
	if row := w.defs[w.n(len(w.defs))]; row.day != nil && row.day.day >= simStart-simDay {
		return int((row.day.day - simStart) / simDay)
	}
	return w.n(w.cycle.days+2) - 1
}

// exchangeRow draws the exchange rates of a day, numbered from the first of the simulation.
func (w *world) exchangeRow(day int, first bool) *simRow {
	at := simStart + int64(day)*simDay
	date := time.Unix(0, at).UTC().Format(time.DateOnly)
	row := catalog.Row{Ref: catalog.Ref{Kind: catalog.KindExchangeRates, ID: "EUR@" + date}}
	d := &simDayRates{day: at}
	known := slices.ContainsFunc(w.defs, func(r *simRow) bool { return r.day != nil && r.day.day == at })
	if row.Deleted = known && w.n(4) == 0; row.Deleted {
		w.did("exchange rates deleted")
		return &simRow{row: row, day: d}
	}
	if known {
		w.did("exchange rates changed")
	}
	rates := object{}
	put := func(currency string, rate *big.Rat, odds int) *big.Rat {
		if !first && w.n(odds) == 0 {
			return nil
		}
		rates[currency] = rate.FloatString(2)
		return rate
	}
	d.dollars = put("USD", big.NewRat(int64(90+w.n(60)), 100), 6)
	d.yen = put("JPY", big.NewRat(int64(15000+w.n(5000)), 100), 3)
	if len(rates) == 0 {
		rates["CHF"] = "0.95"
	}
	row.Body = mustJSON(object{"base": "EUR", "date": date, "rates": rates})
	return &simRow{row: row, day: d}
}

// currency draws that of a rate's prices. What has added up money, or charges in log order, stays in its currency.
func (w *world) currency(id, family string) string {
	of := ""
	if w.n(3) == 0 || w.faults.NewerExchange {
		of = "EUR"
	}
	switch family {
	case "percentage with a free amount", "percentage", "graduated percentage", "amounts", "matrix by number and size", "whole events":
		if known, ok := w.moneys[id]; ok {
			return known
		}
	default:
		if known, ok := w.moneys[id]; ok && w.n(2) > 0 {
			return known
		}
	}
	w.moneys[id] = of
	return of
}

// ---- the oracle

// simPinned is what turns the prices of a rate in a currency into dollars for the usage of a period: whatever is known later.
type simPinned struct {
	currency string
	rate     *big.Rat
}

// pin looks the exchange rate up where the family has none of the rate's currency yet: that of the day on which the rate begins to hold
// in the period.
func (o *oracle) pin(f *oracleUses, r *priceoracle.Rate, period, seq int64, did string) {
	switch {
	case r.Currency == "":
		delete(f.pinned, r.ID)
	case f.pinned[r.ID].currency != r.Currency:
		o.w.did(did)
		at := period
		if !r.Start.IsZero() {
			at = max(at, r.Start.UnixNano())
		}
		f.pinned[r.ID] = simPinned{r.Currency, o.exchange(r.Currency, "USD", at, seq)}
	}
}

// paid is the amount of an event in the currency of the rate, or says that nothing turns it into that.
func (o *oracle) paid(e *usage.Event, r *priceoracle.Rate, seq int64) (amount *big.Rat, foreign bool) {
	to := "USD"
	if r.Currency != "" {
		to = r.Currency
	}
	if amount = o.rat(e.Amount); e.Currency == to {
		return amount, false
	}
	x := o.exchange(e.Currency, to, e.Time, seq)
	if x == nil {
		return amount, true
	}
	return roundHalfAway(new(big.Rat).Mul(amount, x)), false
}

// exchange is what one unit of a currency cost in another on the day of an instant, or on the last day before it on which both are known,
// by the definitions of seq; nil: on none.
func (o *oracle) exchange(from, to string, at, seq int64) *big.Rat {
	days := map[int64]*simRow{}
	for _, d := range o.w.defs[:seq] {
		if d.day != nil {
			days[d.day.day] = d
		}
	}
	var last *simDayRates
	for _, d := range days {
		if d.row.Deleted || d.day.day > at || d.day.of(from) == nil || d.day.of(to) == nil {
			continue
		}
		if last == nil || d.day.day > last.day {
			last = d.day
		}
	}
	if last == nil {
		return nil
	}
	return roundHalfAway(new(big.Rat).Quo(last.of(to), last.of(from)))
}

// of is what one euro cost in the currency.
func (d *simDayRates) of(currency string) *big.Rat {
	switch currency {
	case "EUR":
		return whole(1)
	case "USD":
		return d.dollars
	case "JPY":
		return d.yen
	}
	return nil
}
