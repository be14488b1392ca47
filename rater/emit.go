package rater

import (
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

func (m *machine) emitUsage(rec *activity.Record, e *usage.Event, r *resolution, l *line, charged money.Decimal) {
	m.emit(rec, r.f, l, activity.Activity{
		Kind: activity.KindUsage, EventID: e.ID, Source: e.Source, EventTime: e.Time, Attributes: e.Attributes,
		Quantity: e.Quantity, Charge: charged, Extra: m.extraOf(e), Terms: m.termsOf(r.f, l, r.rate, r.seq),
	})
}

// extraOf gives what the event brings along, nil for most.
func (m *machine) extraOf(e *usage.Event) *activity.Extra {
	if e.Package == "" && !e.HasAmount && e.Corrects == nil {
		return nil
	}
	if len(m.extras) == cap(m.extras) { // those of before stay where they are
		m.extras = make([]activity.Extra, 0, max(16, 2*cap(m.extras)))
	}
	m.extras = append(m.extras, activity.Extra{
		EventPackage: e.Package, Amount: e.Amount, HasAmount: e.HasAmount, AmountCurrency: e.Currency, AmountExchange: m.exchange,
	})
	x := &m.extras[len(m.extras)-1]
	if e.Corrects != nil {
		x.Corrects = *e.Corrects
	}
	return x
}

// emit appends the activity with what it shares with its line, and counts its charge.
func (m *machine) emit(rec *activity.Record, f *family, l *line, a activity.Activity) {
	a.Index, a.Target, a.LineAmount = len(rec.Activities), &l.target, l.amount
	rec.Activities = append(rec.Activities, a)
	m.counts.charge(m.counts.month(a.EventTime), f.currency, a.Charge)
}

// lastRate is the rate under which a line is adjusted, nil when it is bound to none. What a matrix selects is said of the matrix.
func lastRate(segments []segment) *catalog.Rate {
	n := len(segments)
	if n == 0 {
		return nil
	}
	if r := segments[n-1].rate; r.Outer != nil {
		return r.Outer
	}
	return segments[n-1].rate
}

// maxTerms bounds the terms that lines share; a full table is emptied.
const maxTerms = 4096

// termsOf gives the terms of an activity on the line under the rate. Lines with the same terms mostly share them, so that the
// encoder finds them fast; what is written does not depend on it.
func (m *machine) termsOf(f *family, l *line, r *catalog.Rate, seq int64) *activity.Terms {
	if l.terms != nil && l.termsRate == r && l.terms.ActivatedSeq == seq {
		return l.terms
	}
	t := activity.Terms{
		Seller: f.seller, Product: f.product, Package: f.pkg, Currency: f.currency, ActivatedSeq: seq,
		PeriodStart: l.period.Start, PeriodEnd: l.period.End, UsageStart: f.period.Start, UsageEnd: f.period.End,
	}
	if r != nil {
		t.Level, t.RateAccount, t.RateID, t.RateSeq, t.RateModel = string(r.Level), r.OwnerAccount, r.ID, r.Seq, string(r.Model)
		if r.Currency != f.currency {
			t.RateCurrency, t.RateExchange = r.Currency, l.exchangeOf(r)
		}
	}
	shared := m.terms[t]
	if shared == nil {
		if len(m.terms) == maxTerms {
			clear(m.terms)
		}
		shared = &t
		m.terms[t] = shared
	}
	l.terms, l.termsRate = shared, r
	return shared
}

// exchangeOf gives the exchange by which the line's usage under the rate, or in a cell of it, is priced.
func (l *line) exchangeOf(r *catalog.Rate) (x money.Exchange) {
	for i := range l.segments {
		if s := &l.segments[i]; s.conversion != nil && (s.rate == r || s.rate.Outer == r) {
			return s.conversion.exchange
		}
	}
	return x
}
