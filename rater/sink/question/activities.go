package question

import (
	"context"
	"fmt"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

const activityColumns = `source_partition, usage_offset, activity_index, log_ns, kind, event_id, source, event_ns,
 account, billed_account, seller, product, package, attribute_names, attribute_values, group_names, group_values,
 quantity, charge, currency, level, rate_account, rate_id, rate_seq, rate_model, activated_seq,
 invoice, period_start_ns, period_end_ns, line, usage_start_ns, usage_end_ns, line_amount,
 event_package, has_amount, amount, amount_currency, amount_exchange_rate, amount_exchange_date, rate_currency, rate_exchange_rate, rate_exchange_date,
 corrects_source, corrects_id, corrects_below`

const standardActivities = 100

// Activities reads by the account where one is named (the store's order or index), else by the index on the
// invoice or line where there is one.
func (a *Answers) Activities(ctx context.Context, q sink.ActivitiesQuery) ([]sink.Row, string, error) {
	if err := q.Validate(); err != nil {
		return nil, "", err
	}
	after, eventTime, ok, err := sink.ParseCursor(q.After, q.Newest)
	if err != nil {
		return nil, "", err
	}
	c := a.conditions()
	c.filter(q.Filter)
	order := inLogOrder
	if q.Newest {
		order = newestFirst
	}
	switch {
	case ok && q.Newest:
		c.add("(event_ns, source_partition, usage_offset, activity_index) < (%s, %d, %s, %d)",
			a.dialect.Int(eventTime), after.Partition, a.dialect.Int(after.Offset), after.Index)
	case ok:
		c.place(after)
	}
	limit := limitOf(q.Limit, standardActivities, sink.MaxActivities)
	rows, err := a.activities(ctx, c, order, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list activities: %w", err)
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	return rows, rows[limit-1].Cursor(q.Newest), nil
}

// LineActivities reads by the index on the line where there is one.
func (a *Answers) LineActivities(ctx context.Context, partition int32, line activity.ID, after sink.Place, below int64, limit int) ([]sink.Row, error) {
	c := a.conditions()
	c.add("line = %s AND source_partition = %d AND usage_offset < %s", a.dialect.ID(line), partition, a.dialect.Int(below))
	c.place(after)
	rows, err := a.activities(ctx, c, inLogOrder, limit)
	if err != nil {
		return nil, fmt.Errorf("list activities of line %s: %w", line, err)
	}
	return rows, nil
}

const (
	inLogOrder  = "source_partition, usage_offset, activity_index"
	newestFirst = "event_ns DESC, source_partition DESC, usage_offset DESC, activity_index DESC"
)

func (c *conditions) place(after sink.Place) {
	c.add("(source_partition, usage_offset, activity_index) > (%d, %s, %d)", after.Partition, c.dialect.Int(after.Offset), after.Index)
}

func (a *Answers) activities(ctx context.Context, c *conditions, order string, limit int) ([]sink.Row, error) {
	statement := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT %d", activityColumns, a.dialect.Table, c, order, limit)
	var rows []sink.Row
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		row, err := scanActivity(scan)
		rows = append(rows, row)
		return err
	})
	return rows, err
}

func scanActivity(scan func(...any) error) (sink.Row, error) {
	var (
		r                                  sink.Row
		a                                  = &r.Activity
		kind                               int16
		index                              int32
		names, values, groups, groupValues []string
		extra                              activity.Extra
		hasAmount                          int16
	)
	a.Terms, a.Target = new(activity.Terms), new(activity.Target)
	err := scan(&r.Partition, &r.Offset, &index, &r.LogTime, &kind, &a.EventID, &a.Source, &a.EventTime,
		&a.Account, &a.Billed, &a.Seller, &a.Product, &a.Package, &names, &values, &groups, &groupValues,
		&a.Quantity, &a.Charge, &a.Currency, &a.Level, &a.RateAccount, &a.RateID, &a.RateSeq, &a.RateModel, &a.ActivatedSeq,
		&a.Invoice, &a.PeriodStart, &a.PeriodEnd, &a.Line, &a.UsageStart, &a.UsageEnd, &a.LineAmount,
		&extra.EventPackage, &hasAmount, &extra.Amount, &extra.AmountCurrency, &extra.AmountExchange.Rate, (*int32)(&extra.AmountExchange.Date),
		&a.RateCurrency, &a.RateExchange.Rate, (*int32)(&a.RateExchange.Date), &extra.Corrects.Source, &extra.Corrects.ID, &extra.CorrectsBelow)
	if err != nil {
		return r, err
	}
	a.Kind, a.Index = activity.Kind(kind), int(index)
	if extra.HasAmount = hasAmount == 1; extra != (activity.Extra{}) {
		a.Extra = &extra
	}
	if a.Attributes, err = attributes(names, values); err != nil {
		return r, err
	}
	a.Group, err = attributes(groups, groupValues)
	return r, err
}

func attributes(names, values []string) ([]activity.Attribute, error) {
	if len(names) != len(values) {
		return nil, fmt.Errorf("%d attribute names stand beside %d values", len(names), len(values))
	}
	if len(names) == 0 {
		return nil, nil
	}
	list := make([]activity.Attribute, len(names))
	for i := range names {
		list[i] = activity.Attribute{Name: names[i], Value: values[i]}
	}
	return list, nil
}
