package question

import (
	"context"
	"fmt"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

const standardAdjusted = 100

// Adjusted reads by the index on the cause where there is one; the other store reads three narrow columns, or an account's part of them.
func (a *Answers) Adjusted(ctx context.Context, q sink.AdjustedQuery) ([]sink.Adjusted, string, error) {
	c := a.conditions()
	c.add("kind = 2 AND (source = %s OR source = '' AND activated_seq = %s)", c.argument(activity.CauseOf(q.Seq)), a.dialect.Int(q.Seq))
	c.text("account", q.Account)
	if err := c.afterAdjusted(q); err != nil {
		return nil, "", err
	}
	const key = "account, billed_account, product, package, currency, line, usage_start_ns"
	statement := fmt.Sprintf("SELECT %s, %s AS line_after, sum(charge) AS difference FROM %s%s GROUP BY %s",
		key, a.dialect.Latest("line_amount"), a.dialect.Table, c, key)
	limit := limitOf(q.Limit, standardAdjusted, sink.MaxAdjusted)
	if q.ByAccount {
		statement = fmt.Sprintf("SELECT account, currency, %s, sum(line_after), sum(difference) FROM (%s) AS lines GROUP BY account, currency ORDER BY account, currency LIMIT %d",
			a.dialect.Count, statement, limit+1)
	} else {
		statement += fmt.Sprintf(" ORDER BY account, product, line LIMIT %d", limit+1)
	}
	var rows []sink.Adjusted
	err := a.querier.Each(ctx, statement, c.args, func(scan func(...any) error) error {
		r := sink.Adjusted{Lines: 1}
		dest := []any{&r.Account, &r.Billed, &r.Product, &r.Package, &r.Currency, &r.Line, &r.UsageStart, &r.After, &r.Difference}
		if q.ByAccount {
			dest = []any{&r.Account, &r.Currency, &r.Lines, &r.After, &r.Difference}
		}
		err := scan(dest...)
		rows = append(rows, r)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list what definitions %d adjusted: %w", q.Seq, err)
	}
	if len(rows) <= limit {
		return rows, "", nil
	}
	rows = rows[:limit]
	return rows, sink.KeysCursor(rows[limit-1].Keys(q.ByAccount)), nil
}

// afterAdjusted demands rows that come after the cursor's.
func (c *conditions) afterAdjusted(q sink.AdjustedQuery) error {
	n := 3
	if q.ByAccount {
		n = 2
	}
	keys, err := sink.ParseKeys(q.After, n)
	if err != nil || keys == nil {
		return err
	}
	account, same := c.argument(keys[0]), c.argument(keys[0])
	if q.ByAccount {
		c.add("(account > %s OR account = %s AND currency > %s)", account, same, c.argument(keys[1]))
		return nil
	}
	line, err := activity.ParseID(keys[2])
	if err != nil {
		return fmt.Errorf("%w: the cursor is not one that this list returned; start again without it", sink.ErrQuery)
	}
	product, sameProduct := c.argument(keys[1]), c.argument(keys[1])
	c.add("(account > %s OR account = %s AND (product > %s OR product = %s AND line > %s))", account, same, product, sameProduct, c.dialect.ID(line))
	return nil
}
