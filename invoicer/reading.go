package invoicer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// What an activity rests on is read from the report store: usage of its line, of all lines that share its tiers, or of the periods before, whose
// level goes on.

// read reads the activities before the one in question, and those of its record behind it.
func (w *working) read() (note string, err error) {
	if w.pool == nil {
		return w.readFrom(func(c *Charged) bool { return sameFamily(c, w.of) }, w.family())
	}
	return w.readFrom(w.shares, w.poolQueries()...)
}

// readAll reads those of all periods.
func (w *working) readAll() (note string, err error) {
	a := w.of
	w.all = true
	return w.readFrom(func(c *Charged) bool {
		return c.Package == a.Package && c.Seller == a.Seller && slices.Equal(c.Group, a.Group)
	}, HistoryQuery{Account: a.Account, Product: a.Product, To: w.family().To})
}

// family asks for the lines that are priced together.
func (w *working) family() HistoryQuery {
	a := w.of
	q := HistoryQuery{Account: a.Account, Product: a.Product, From: a.UsageStart, To: a.UsageEnd}
	if q.From == catalog.Always { // a period without bounds
		q.From, q.To = 0, 0
	}
	if a.UsageStart == a.PeriodStart { // late usage continues other lines, this does not
		q.Line = a.Line
	}
	return q
}

// sameFamily says whether two activities are of lines that are priced together.
func sameFamily(a, b *Charged) bool {
	return a.Package == b.Package && a.UsageStart == b.UsageStart && a.Seller == b.Seller && slices.Equal(a.Group, b.Group)
}

// readFrom reads what is asked for, as far as keep says so, in log order.
func (w *working) readFrom(keep func(*Charged) bool, queries ...HistoryQuery) (note string, err error) {
	w.before, w.after, w.out.Earlier = nil, nil, 0
	for read, i := 0, 0; i < len(queries); i++ {
		for q := queries[i]; ; {
			q.Limit = historyPage
			page, err := w.desk.History.Charges(w.ctx, q)
			if err != nil {
				return "", fmt.Errorf("read the usage behind activity %s: %w", w.of.Place, err)
			}
			if more := w.take(page, keep); !more || len(page) < q.Limit {
				break
			}
			if read += len(page); read >= MaxHistory {
				return fmt.Sprintf("there are more than %d earlier activities behind it, too many to add up again here: the amounts are those that were recorded", MaxHistory), nil
			}
			q.After = &page[len(page)-1].Place
		}
	}
	if len(queries) > 1 {
		slices.SortFunc(w.before, func(a, b Charged) int { return a.compare(b.Place) })
		slices.SortFunc(w.after, func(a, b Charged) int { return a.compare(b.Place) })
	}
	return "", nil
}

// take takes a page; false: it reaches beyond the activity's record.
func (w *working) take(page []Charged, keep func(*Charged) bool) bool {
	a := w.of
	for i := range page {
		c := &page[i]
		switch {
		case c.Partition != a.Partition || !keep(c) || c.Place == a.Place:
		case c.compare(a.Place) < 0:
			w.before = append(w.before, *c)
			if c.Kind == activity.KindUsage && c.Account == a.Account && c.Product == a.Product && sameFamily(c, a) {
				w.out.Earlier++
			}
		case c.Offset == a.Offset:
			w.after = append(w.after, *c)
		default:
			return false
		}
	}
	return true
}

// pooled notes whether usage has its tiers together with that of other lines.
func (w *working) pooled(c *Charged) {
	product := w.plan.Snapshot().Product(c.Product)
	if product == nil {
		return
	}
	answer, refusal := w.plan.Resolve(product, c.Sent().EventPackage, c.EventTime)
	if refusal != "" || answer.Rate.Pool == "" || answer.Rate.Pool == catalog.PoolPackage && answer.Package == "" {
		return
	}
	owed, _ := w.plan.Billing(c.EventTime)
	w.pool, w.priced, w.owed = answer.Rate, answer.Rate, owed.ID
	if answer.Rate.Matrix != nil {
		e := rater.EventOf(&c.Activity)
		w.priced = cmp.Or(rater.Selected(answer.Rate, &e, owed.ZoneAt(c.EventTime)), answer.Rate)
	}
}

// poolQueries ask for the usage that shares the activity's tiers: of one account, or of one payer, whose invoice of the period it stands on. What
// came late stands on the invoices of later periods.
func (w *working) poolQueries() []HistoryQuery {
	a := w.of
	q := w.family()
	q.Line = activity.ID{}
	if w.pool.Model == catalog.ModelCapacity {
		q.Product = ""
	}
	if !w.pool.Pool.OverAccounts() {
		return []HistoryQuery{q}
	}
	q.Account = ""
	var queries []HistoryQuery
	for at := max(a.UsageStart, a.EventTime); len(queries) < mostInvoices; {
		billed, period := w.plan.Billing(at)
		q.Invoice = activity.InvoiceID(a.Seller, billed.ID, period.Start)
		queries = append(queries, q)
		if at = period.End; period.Start >= a.PeriodStart || at == catalog.Never {
			break
		}
	}
	return queries
}

// shares says whether an activity's line may be in the pool.
func (w *working) shares(c *Charged) bool {
	a := w.of
	switch {
	case c.UsageStart != a.UsageStart || c.Seller != a.Seller || c.Currency != a.Currency:
		return false
	case w.pool.Pool == catalog.PoolPackage:
		return c.Package == a.Package
	}
	return true
}

// usage finds usage of an adjusted line, and whether its tiers are shared: the last before the adjustment, or of its record.
func (w *working) usage() (like *Charged, note string, err error) {
	if note, err = w.read(); note != "" || err != nil {
		return nil, note, err
	}
	isUsage := func(c Charged) bool { return c.Kind == activity.KindUsage }
	if at := lastOf(w.before, func(*Charged) bool { return true }); at >= 0 {
		like = &w.before[at]
	} else if at := slices.IndexFunc(w.after, isUsage); at >= 0 {
		like = &w.after[at]
	} else {
		return nil, "", nil
	}
	w.pooled(like)
	return like, "", nil
}
