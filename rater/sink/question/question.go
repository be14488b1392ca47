// Package question answers the questions of sink.Reports, sink.Proof and sink.History in SQL that ClickHouse 18.16,
// current ClickHouse and PostgreSQL understand. What they say differently stands in one place, a [Dialect].
//
// It may import ledger/money, rater/activity and rater/sink, never a driver. Invariants: every answer counts
// an activity's key once (Dialect.Table sees to that); text from outside travels as arguments, never in the
// statement; numbers stand in it as literals. Decimals are read exactly.
package question

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

// Querier runs a statement and calls each for every row. Scan fills pointers to string, int16, int32, int64,
// []string, sink.Texts, money.Decimal and activity.ID.
type Querier interface {
	Each(ctx context.Context, statement string, args []any, each func(scan func(dest ...any) error) error) error
}

// Dialect is what the stores say differently.
type Dialect struct {
	Table string // rated_activity with every key once
	Rows  string // rated_activity as it stands, where a key may stand twice
	// Argument writes the nth argument's place, from 1.
	Argument func(n int) string
	// ID writes an identifier.
	ID func(id activity.ID) string
	// Int writes a 64-bit integer.
	Int func(n int64) string
	// Divide divides a term that is not negative by a positive number, cut off to a whole one.
	Divide func(term string, by int64) string
	// UsageEvents counts the rows of a group that are usage events.
	UsageEvents string
	// Count counts the rows of a group.
	Count string
	// Latest gives the term in the last row of a group in log order, where all are of one partition.
	Latest func(term string) string
	// Attributes gives the names of the attributes and, behind them, their values, so that they scan into sink.Texts.
	Attributes string
	// AttributeOf gives the value of the attribute of the name, an argument place; nothing for none.
	AttributeOf func(name string) string
	// Number writes a term with 12 decimals so that it is read fast.
	Number func(term string) string
	// Attribute says that the attribute of the name has the value; both are argument places.
	Attribute func(name, value string) string
}

// Answers implements sink.Reports, sink.Proof, sink.History and sink.Adjustments.
type Answers struct {
	querier Querier
	dialect Dialect
}

// New returns the answers of a store.
func New(q Querier, d Dialect) *Answers { return &Answers{querier: q, dialect: d} }

var (
	_ sink.Reports = (*Answers)(nil)
	_ sink.Proof   = (*Answers)(nil)
	_ sink.History = (*Answers)(nil)

	_ sink.Adjustments = (*Answers)(nil)
)

// conditions gathers what the WHERE clause demands.
type conditions struct {
	dialect *Dialect
	terms   []string
	args    []any
}

func (a *Answers) conditions() *conditions { return &conditions{dialect: &a.dialect} }

func (c *conditions) argument(v any) string {
	c.args = append(c.args, v)
	return c.dialect.Argument(len(c.args))
}

func (c *conditions) add(format string, args ...any) {
	c.terms = append(c.terms, fmt.Sprintf(format, args...))
}

// text demands a column's value unless it is empty.
func (c *conditions) text(column, value string) {
	if value != "" {
		c.add("%s = %s", column, c.argument(value))
	}
}

func (c *conditions) filter(f sink.Filter) {
	if len(f.Accounts) > 0 {
		places := make([]string, len(f.Accounts))
		for i, account := range f.Accounts {
			places[i] = c.argument(account)
		}
		c.add("account IN (%s)", strings.Join(places, ", "))
	}
	c.text("billed_account", f.Billed)
	c.text("product", f.Product)
	c.text("package", f.Package)
	c.text("currency", f.Currency)
	c.text("event_id", f.EventID)
	c.text("source", f.Source)
	if !f.Invoice.IsZero() {
		c.add("invoice = %s", c.dialect.ID(f.Invoice))
	}
	if !f.Line.IsZero() {
		c.add("line = %s", c.dialect.ID(f.Line))
	}
	if f.At != nil { // the key in one store; the other reads three narrow columns, or an account's part of them
		c.add("source_partition = %d AND usage_offset = %s AND activity_index = %d", f.At.Partition, c.dialect.Int(f.At.Offset), f.At.Index)
	}
	if f.Corrections {
		c.add("corrects_id <> ''")
	}
	for _, a := range f.Attributes {
		name := c.argument(a.Name)
		c.add("%s", c.dialect.Attribute(name, c.argument(a.Value)))
	}
	// The months let the store leave whole parts unread.
	if f.From != 0 {
		c.add("event_ns >= %s AND month >= %d", c.dialect.Int(f.From), sink.MonthOf(f.From))
	}
	if f.To != 0 {
		c.add("event_ns < %s AND month <= %d", c.dialect.Int(f.To), sink.MonthOf(f.To-1))
	}
}

// below demands a usage offset below the bound of its partition.
func (c *conditions) below(bounds map[int32]int64) {
	partitions := make([]int32, 0, len(bounds))
	for p := range bounds {
		partitions = append(partitions, p)
	}
	slices.Sort(partitions)
	terms := make([]string, 0, len(bounds))
	for _, p := range partitions {
		terms = append(terms, fmt.Sprintf("(source_partition = %d AND usage_offset < %s)", p, c.dialect.Int(bounds[p])))
	}
	if len(terms) == 0 {
		terms = append(terms, "1 = 0")
	}
	c.add("(%s)", strings.Join(terms, " OR "))
}

func (c *conditions) String() string {
	if len(c.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.terms, " AND ")
}

// days numbers the local days of a report from the day of its first instant on.
type days struct {
	first time.Time // midnight of the first day, as if it were UTC
	term  string    // SQL: the number of a row's day
}

// newDays takes the zone's changes of offset between the instants from Go's zone data, so that all stores
// agree on the days, whatever zone data they have.
func newDays(d *Dialect, zone *time.Location, from, to int64) days {
	start := time.Unix(0, from).In(zone)
	y, m, day := start.Date()
	first := time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
	shift := func(t time.Time) string {
		_, offset := t.Zone()
		return d.Int(int64(offset)*int64(time.Second) - first.UnixNano())
	}
	var b strings.Builder
	at := start
	for {
		_, end := at.ZoneBounds()
		if end.IsZero() || end.UnixNano() >= to {
			break
		}
		fmt.Fprintf(&b, " WHEN event_ns < %s THEN %s", d.Int(end.UnixNano()), shift(at))
		at = end.In(zone)
	}
	local := shift(at)
	if b.Len() > 0 {
		local = "CASE" + b.String() + " ELSE " + local + " END"
	}
	return days{first: first, term: d.Divide("event_ns + "+local, int64(24*time.Hour))}
}

func (d days) name(n int64) string { return d.first.AddDate(0, 0, int(n)).Format(time.DateOnly) }

func (d days) number(name string) (int64, error) {
	t, err := time.Parse(time.DateOnly, name)
	if err != nil {
		return 0, fmt.Errorf("%w: the cursor is not one that this report returned; start again without it", sink.ErrQuery)
	}
	return int64(t.Sub(d.first) / (24 * time.Hour)), nil
}

func limitOf(asked, standard, highest int) int {
	if asked <= 0 {
		return standard
	}
	return min(asked, highest)
}
