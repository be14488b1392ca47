package question

import (
	"context"
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/rater/sink"
)

// columns of the groups; days have a term of their own.
var columns = map[sink.Group]string{
	sink.GroupAccount: "account", sink.GroupBilled: "billed_account", sink.GroupProduct: "product", sink.GroupPackage: "package",
}

// Totals reads the filtered months by the store's order (account, product), or by its index on the account.
func (a *Answers) Totals(ctx context.Context, q sink.TotalsQuery) ([]sink.Total, string, error) {
	if err := q.Validate(); err != nil {
		return nil, "", err
	}
	var days days
	terms := make([]string, 0, len(q.Groups)+1)
	for _, g := range q.Groups {
		if g == sink.GroupDay {
			days = newDays(&a.dialect, q.Location(), q.From, q.To)
			terms = append(terms, days.term)
			continue
		}
		terms = append(terms, columns[g])
	}
	terms = append(terms, "currency")
	c := a.conditions()
	c.filter(q.Filter)
	if err := c.after(q, terms, days); err != nil {
		return nil, "", err
	}
	list := strings.Join(terms, ", ")
	limit := limitOf(q.Limit, sink.MaxTotals, sink.MaxTotals)
	statement := fmt.Sprintf("SELECT %s, %s, sum(quantity), sum(charge) FROM %s%s GROUP BY %s ORDER BY %s LIMIT %d",
		list, a.dialect.UsageEvents, a.dialect.Table, c, list, list, limit+1)
	var rows []sink.Total
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		t, err := scanTotal(q.Groups, days, scan)
		rows = append(rows, t)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("sum usage and revenue: %w", err)
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	return rows, sink.KeysCursor(rows[limit-1].Keys(q.Groups)), nil
}

func scanTotal(groups []sink.Group, days days, scan func(...any) error) (sink.Total, error) {
	var t sink.Total
	keys := make([]string, len(groups))
	dest := make([]any, 0, len(groups)+4)
	var day int64
	for i, g := range groups {
		if g == sink.GroupDay {
			dest = append(dest, &day)
		} else {
			dest = append(dest, &keys[i])
		}
	}
	dest = append(dest, &t.Currency, &t.Events, &t.Quantity, &t.Revenue)
	if err := scan(dest...); err != nil {
		return t, err
	}
	for i, g := range groups {
		if g == sink.GroupDay {
			keys[i] = days.name(day)
		}
		t.SetKey(g, keys[i])
	}
	return t, nil
}

// after demands rows that come after the cursor's.
func (c *conditions) after(q sink.TotalsQuery, terms []string, days days) error {
	keys, err := sink.ParseKeys(q.After, len(terms))
	if err != nil || keys == nil {
		return err
	}
	values := make([]string, len(keys))
	for i, key := range keys {
		if i < len(q.Groups) && q.Groups[i] == sink.GroupDay {
			n, err := days.number(key)
			if err != nil {
				return err
			}
			values[i] = c.dialect.Int(n)
			continue
		}
		values[i] = c.argument(key)
	}
	if len(terms) == 1 {
		c.add("%s > %s", terms[0], values[0])
		return nil
	}
	c.add("(%s) > (%s)", strings.Join(terms, ", "), strings.Join(values, ", "))
	return nil
}
