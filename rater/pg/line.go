package pg

import (
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
)

// appendLine returns a scanner of the columns that every statement on lines selects, in their order.
func appendLine(lines *[]rater.LineState) func(pgx.Rows) error {
	var family, line, invoice pgtype.UUID
	var group, quantity, amount string
	return func(rows pgx.Rows) error {
		var l rater.LineState
		err := rows.Scan(&family, &l.Position, &line, &invoice, &l.Account, &l.Billed, &l.Seller, &l.Product, &l.Package, &group, &l.Currency,
			&l.Period.Start, &l.Period.End, &l.UsagePeriod.Start, &l.UsagePeriod.End, &quantity, &l.Events, &amount, &l.Segments, &l.Seq,
			&l.RateLevel, &l.RateAccount, &l.RateID, &l.RateModel, &l.Version, &l.Owed, &l.Second)
		if err != nil {
			return err
		}
		if len(l.Second) == 0 {
			l.Second = nil
		}
		l.Family, l.Line, l.Invoice = family.Bytes, line.Bytes, invoice.Bytes
		if l.Group, err = decodeGroup(group); err != nil {
			return fmt.Errorf("line %s: group: %w", l.Line, err)
		}
		if l.Quantity, err = money.Parse(quantity); err != nil {
			return fmt.Errorf("line %s: quantity: %w", l.Line, err)
		}
		if l.Amount, err = money.Parse(amount); err != nil {
			return fmt.Errorf("line %s: amount: %w", l.Line, err)
		}
		*lines = append(*lines, l)
		return nil
	}
}

const noGroup = "[]"

func encodeGroup(group []activity.Attribute) (string, error) {
	if len(group) == 0 {
		return noGroup, nil
	}
	pairs := make([][2]string, len(group))
	for i := range group {
		pairs[i] = [2]string{group[i].Name, group[i].Value}
	}
	b, err := json.Marshal(pairs)
	return string(b), err
}

func decodeGroup(text string) ([]activity.Attribute, error) {
	if text == noGroup {
		return nil, nil
	}
	var pairs [][2]string
	if err := json.Unmarshal([]byte(text), &pairs); err != nil {
		return nil, err
	}
	group := make([]activity.Attribute, len(pairs))
	for i := range pairs {
		group[i] = activity.Attribute{Name: pairs[i][0], Value: pairs[i][1]}
	}
	return group, nil
}

// lineColumns are the arrays that the upsert of lines unnests.
type lineColumns struct {
	partition, position                                                     []int32
	family, line, invoice                                                   pgtype.FlatArray[pgtype.UUID]
	account, billed, seller, product, pkg, group, currency                  []string
	periodStart, periodEnd, usageStart, usageEnd, events, seq, version, cut []int64
	quantity, amount                                                        []string
	segments, second                                                        [][]byte
	owed                                                                    []string
	rateLevel, rateAccount, rateID, rateModel                               []string
}

func (c *lineColumns) add(partition int32, cut int64, l *rater.LineState) error {
	group, err := encodeGroup(l.Group)
	if err != nil {
		return fmt.Errorf("line %s: group: %w", l.Line, err)
	}
	c.partition = append(c.partition, partition)
	c.position = append(c.position, int32(l.Position))
	c.family = append(c.family, uuid(l.Family))
	c.line = append(c.line, uuid(l.Line))
	c.invoice = append(c.invoice, uuid(l.Invoice))
	c.account = append(c.account, l.Account)
	c.billed = append(c.billed, l.Billed)
	c.seller = append(c.seller, l.Seller)
	c.product = append(c.product, l.Product)
	c.pkg = append(c.pkg, l.Package)
	c.group = append(c.group, group)
	c.currency = append(c.currency, l.Currency)
	c.periodStart = append(c.periodStart, l.Period.Start)
	c.periodEnd = append(c.periodEnd, l.Period.End)
	c.usageStart = append(c.usageStart, l.UsagePeriod.Start)
	c.usageEnd = append(c.usageEnd, l.UsagePeriod.End)
	c.quantity = append(c.quantity, l.Quantity.String())
	c.events = append(c.events, l.Events)
	c.amount = append(c.amount, l.Amount.String())
	c.segments = append(c.segments, notNull(l.Segments))
	c.seq = append(c.seq, l.Seq)
	c.rateLevel = append(c.rateLevel, l.RateLevel)
	c.rateAccount = append(c.rateAccount, l.RateAccount)
	c.rateID = append(c.rateID, l.RateID)
	c.rateModel = append(c.rateModel, l.RateModel)
	c.version = append(c.version, l.Version)
	c.owed = append(c.owed, l.Owed)
	c.second = append(c.second, notNull(l.Second))
	c.cut = append(c.cut, cut)
	return nil
}

func (c *lineColumns) arguments() []any {
	return []any{c.partition, c.family, c.position, c.line, c.invoice, c.account, c.billed, c.seller, c.product, c.pkg, c.group, c.currency,
		c.periodStart, c.periodEnd, c.usageStart, c.usageEnd, c.quantity, c.events, c.amount, c.segments, c.seq,
		c.rateLevel, c.rateAccount, c.rateID, c.rateModel, c.version, c.owed, c.second, c.cut}
}

// notNull is what a column takes that knows no null.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
