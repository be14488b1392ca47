package question

import (
	"context"
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Extent reads the months of the query's time.
func (a *Answers) Extent(ctx context.Context, q sink.HistoryQuery) (x sink.Extent, err error) {
	if err := q.Validate(); err != nil {
		return x, err
	}
	c := a.conditions()
	c.account(q)
	c.filter(sink.Filter{From: q.From, To: q.To})
	statement := fmt.Sprintf("SELECT coalesce(min(usage_start_ns), 0), coalesce(max(usage_end_ns), 0) FROM %s%s", a.dialect.Rows, c)
	err = a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error { return scan(&x.First, &x.End) })
	if err != nil {
		return x, fmt.Errorf("find the periods of stored usage: %w", err)
	}
	return x, nil
}

// AccountCounts reads by the store's order, or by its index on the account.
func (a *Answers) AccountCounts(ctx context.Context, q sink.HistoryQuery, after string, limit int) ([]sink.AccountCount, error) {
	c := a.conditions()
	c.periods(q)
	if after != "" {
		c.add("account > %s", c.argument(after))
	}
	statement := fmt.Sprintf("SELECT account, %s FROM %s%s GROUP BY account ORDER BY account LIMIT %d", a.dialect.Count, a.dialect.Rows, c, limit)
	var counts []sink.AccountCount
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		var n sink.AccountCount
		err := scan(&n.Account, &n.Activities)
		counts = append(counts, n)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count stored usage by account: %w", err)
	}
	return counts, nil
}

func (c *conditions) account(q sink.HistoryQuery) {
	if q.Account != "" {
		c.add("account = %s", c.argument(q.Account))
	}
}

// periods demands usage of the periods that have a part of the query's time.
func (c *conditions) periods(q sink.HistoryQuery) {
	c.account(q)
	c.filter(sink.Filter{From: q.Extent.First, To: q.Extent.End})
	c.add("usage_start_ns < %s AND usage_end_ns > %s", c.dialect.Int(q.To), c.dialect.Int(q.From))
	c.among("product", q.Products)
	c.among("account", q.Accounts)
}

// among demands that a column has one of the values; none: any.
func (c *conditions) among(column string, values []string) {
	if len(values) == 0 {
		return
	}
	places := make([]string, len(values))
	for i, value := range values {
		places[i] = c.argument(value)
	}
	c.add("%s IN (%s)", column, strings.Join(places, ", "))
}

// between demands the accounts from first through last.
func (c *conditions) between(first, last string) {
	c.add("account >= %s", c.argument(first))
	c.add("account <= %s", c.argument(last))
}

// History reads by the store's order, or by its index on the account, without asking the store to take out what stands twice: in log order
// it stands side by side.
func (a *Answers) History(ctx context.Context, q sink.HistoryQuery, first, last string, each func(*sink.Stored) error) error {
	c := a.conditions()
	c.periods(q)
	c.between(first, last)
	order := "account, " + inLogOrder
	if q.InLogOrder {
		order = inLogOrder + ", account"
	}
	statement := fmt.Sprintf(`SELECT source_partition, usage_offset, activity_index, kind, event_id, source, event_ns, account, product,
 %s, %s, %s, currency, event_package, has_amount, %s, amount_currency,
 %s, amount_exchange_date, rate_currency, %s, rate_exchange_date, CASE WHEN amount_exchange_rate = 0 AND rate_currency = '' THEN '' ELSE rate_id END,
 corrects_source, corrects_id
 FROM %s%s ORDER BY %s`,
		a.dialect.Attributes, a.dialect.Number("quantity"), a.dialect.Number("charge"), a.dialect.Number("amount"),
		a.dialect.Number("amount_exchange_rate"), a.dialect.Number("rate_exchange_rate"), a.dialect.Rows, c, order)
	var (
		r         sink.Stored
		index     int32
		kind      int16
		hasAmount int16
		texts     sink.Texts
		before    sink.Place
		account   string
		seen      bool
		corrects  activity.EventName
	)
	e := &r.Event
	dest := []any{
		&r.Partition, &r.Offset, &index, &kind, &e.ID, &e.Source, &e.Time, &e.Account, &e.Product,
		&texts, &e.Quantity, &r.Charge, &r.Currency, &e.Package, &hasAmount, &e.Amount, &e.Currency,
		&r.AmountExchange.Rate, (*int32)(&r.AmountExchange.Date), &r.RateCurrency, &r.RateExchange.Rate, (*int32)(&r.RateExchange.Date), &r.RateID,
		&corrects.Source, &corrects.ID,
	}
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		if err := scan(dest...); err != nil {
			return err
		}
		r.Index, r.Kind, e.HasAmount = int(index), activity.Kind(kind), hasAmount == 1
		if seen && r.Place == before && e.Account == account {
			return nil
		}
		seen, before, account = true, r.Place, e.Account
		if e.Corrects = nil; corrects != (activity.EventName{}) {
			e.Corrects = &activity.EventName{Source: corrects.Source, ID: corrects.ID}
		}
		names := len(texts) / 2
		if len(texts) != 2*names {
			return fmt.Errorf("%d names and values of attributes are not as many of each", len(texts))
		}
		e.Attributes = e.Attributes[:0]
		for i := range names {
			e.Attributes = append(e.Attributes, activity.Attribute{Name: texts[i], Value: texts[names+i]})
		}
		return each(&r)
	})
	if err != nil {
		return fmt.Errorf("read stored usage: %w", err)
	}
	return nil
}

// Sums reads by the store's order, or by its index on the account.
func (a *Answers) Sums(ctx context.Context, q sink.HistoryQuery, first, last string, names []string, each func(*sink.Summed) error) error {
	c := a.conditions()
	values, groups := "", ""
	for i, name := range names { // their arguments come first in the statement
		values += fmt.Sprintf(", %s AS attribute_%d", a.dialect.AttributeOf(c.argument(name)), i)
		groups += fmt.Sprintf(", attribute_%d", i)
	}
	c.periods(q)
	c.between(first, last)
	number := a.dialect.Number
	statement := fmt.Sprintf(`SELECT account, product, event_package, currency, kind, %s, min(event_ns), max(event_ns), %s, %s, %s, %s, %s%s
 FROM %s%s GROUP BY account, product, event_package, currency, kind, usage_start_ns, usage_end_ns%s ORDER BY account, product`,
		a.dialect.Count, number("sum(quantity)"), number("min(quantity)"), number("sum(abs(quantity))"), number("sum(charge)"), number("max(abs(charge))"), values, a.dialect.Table, c, groups)
	s := sink.Summed{Attributes: make([]activity.Attribute, len(names))}
	kind := int16(0)
	dest := []any{
		&s.Account, &s.Product, &s.Package, &s.Currency, &kind, &s.Activities, &s.First, &s.Last, &s.Quantity, &s.Lowest, &s.Magnitude, &s.Charge, &s.Highest,
	}
	for i, name := range names {
		s.Attributes[i].Name = name
		dest = append(dest, &s.Attributes[i].Value)
	}
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		if err := scan(dest...); err != nil {
			return err
		}
		s.Kind = activity.Kind(kind)
		return each(&s)
	})
	if err != nil {
		return fmt.Errorf("add up stored usage: %w", err)
	}
	return nil
}
