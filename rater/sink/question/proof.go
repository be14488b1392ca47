package question

import (
	"context"
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// SumByMonth reads one month whole.
func (a *Answers) SumByMonth(ctx context.Context, month int32, below map[int32]int64) ([]sink.MonthSum, error) {
	c := a.conditions()
	c.add("month = %d", month)
	c.below(below)
	statement := fmt.Sprintf(`SELECT source_partition, currency, %s, sum(charge) FROM %s%s
 GROUP BY source_partition, currency ORDER BY source_partition, currency`, a.dialect.UsageEvents, a.dialect.Table, c)
	var sums []sink.MonthSum
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		var s sink.MonthSum
		err := scan(&s.Partition, &s.Currency, &s.Events, &s.Charged)
		sums = append(sums, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sum month %s: %w", sink.MonthText(month), err)
	}
	return sums, nil
}

// SumByOffset reads one partition of a month.
func (a *Answers) SumByOffset(ctx context.Context, partition, month int32, from, below int64, limit int) ([]sink.OffsetSum, error) {
	c := a.conditions()
	c.add("month = %d AND source_partition = %d", month, partition)
	c.add("usage_offset >= %s AND usage_offset < %s", a.dialect.Int(from), a.dialect.Int(below))
	statement := fmt.Sprintf(`SELECT usage_offset, currency, %s, sum(charge) FROM %s%s
 GROUP BY usage_offset, currency ORDER BY usage_offset, currency LIMIT %d`, a.dialect.UsageEvents, a.dialect.Table, c, limit+1)
	var sums []sink.OffsetSum
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		var s sink.OffsetSum
		err := scan(&s.Offset, &s.Currency, &s.Events, &s.Charged)
		sums = append(sums, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sum partition %d of month %s by offset: %w", partition, sink.MonthText(month), err)
	}
	if len(sums) <= limit {
		return sums, nil
	}
	whole := limit
	for whole > 0 && sums[whole-1].Offset == sums[limit].Offset {
		whole--
	}
	if whole == 0 {
		return sums[:limit], nil
	}
	return sums[:whole], nil
}

// Invoices reads one month's invoices.
func (a *Answers) Invoices(ctx context.Context, month int32, below map[int32]int64, after activity.ID, limit int) ([]activity.ID, error) {
	c := a.conditions()
	c.add("month = %d", month)
	c.below(below)
	if !after.IsZero() {
		c.add("invoice > %s", a.dialect.ID(after))
	}
	statement := fmt.Sprintf("SELECT invoice FROM %s%s GROUP BY invoice ORDER BY invoice LIMIT %d", a.dialect.Table, c, limit)
	var ids []activity.ID
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		var id activity.ID
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list invoices of month %s: %w", sink.MonthText(month), err)
	}
	return ids, nil
}

// SumByLine reads by the index on the invoice where there is one.
func (a *Answers) SumByLine(ctx context.Context, invoices []activity.ID, below map[int32]int64) ([]sink.LineSum, error) {
	if len(invoices) == 0 {
		return nil, nil
	}
	ids := make([]string, len(invoices))
	for i, id := range invoices {
		ids[i] = a.dialect.ID(id)
	}
	c := a.conditions()
	c.add("invoice IN (%s)", strings.Join(ids, ", "))
	c.below(below)
	statement := fmt.Sprintf(`SELECT invoice, line, source_partition, currency, %s, sum(charge) FROM %s%s
 GROUP BY invoice, line, source_partition, currency ORDER BY invoice, line, source_partition, currency`, a.dialect.Count, a.dialect.Table, c)
	var sums []sink.LineSum
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		var s sink.LineSum
		err := scan(&s.Invoice, &s.Line, &s.Partition, &s.Currency, &s.Activities, &s.Charged)
		sums = append(sums, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sum the lines of %d invoices: %w", len(invoices), err)
	}
	return sums, nil
}
