package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

// Result is what a comparison found.
type Result struct {
	Period      string      `json:"period"` // 2026-11, UTC
	OK          bool        `json:"ok"`
	Deep        bool        `json:"deep"`
	Partitions  []Partition `json:"partitions"`
	Sums        []Sum       `json:"sums"`
	Invoices    int         `json:"invoices"` // that the month touches
	Lines       int         `json:"lines"`    // of these invoices
	Pools       int         `json:"pools"`    // of usage periods that the month touches
	Behind      []Behind    `json:"behind,omitempty"`
	Differences int         `json:"differences"`
	First       *Difference `json:"first_difference,omitempty"`
}

// Partition is one partition's usage of the month.
type Partition struct {
	Partition  int32 `json:"partition"`
	Next       int64 `json:"next_offset"` // of the checkpoint: what is compared stands below it
	Accepted   int64 `json:"accepted"`
	Retried    int64 `json:"retried"`
	Rated      int64 `json:"rated"`
	Duplicates int64 `json:"duplicates"`
	Rejected   int64 `json:"rejected"`
	Reported   int64 `json:"reported"` // usage events in the report store
	OK         bool  `json:"ok"`
}

// Sum is the money of the month on one partition.
type Sum struct {
	Partition int32         `json:"partition"`
	Currency  string        `json:"currency"`
	Charged   money.Decimal `json:"charged"`  // by the checkpoint's counters
	Reported  money.Decimal `json:"reported"` // by the report store
	// Lines is what the lines hold of the month: their amounts less their activities of other months.
	Lines money.Decimal `json:"lines"`
	OK    bool          `json:"ok"`
}

// Behind says that a stage has not yet done what the one before it has: nothing is wrong, but nothing is proven.
type Behind struct {
	Partition int32  `json:"partition"`
	Stage     string `json:"stage"`  // rater, against the usage log; sink, against the checkpoint
	At        int64  `json:"offset"` // last usage offset done, -1 for none
	Of        int64  `json:"of"`     // last usage offset there is
}

// The stages that may be behind.
const (
	StageRater = "rater"
	StageSink  = "sink"
)

// String is the delay on one line.
func (b Behind) String() string {
	if b.Stage == StageRater {
		return fmt.Sprintf("partition %d: usage is rated and checkpointed up to offset %d, the log reaches %d: %d behind; run it again when the raters have caught up",
			b.Partition, b.At, b.Of, b.Of-b.At)
	}
	return fmt.Sprintf("partition %d: the sink has taken usage up to offset %d, the checkpoint stands at %d: %d behind; run it again when the sink has caught up",
		b.Partition, b.At, b.Of, b.Of-b.At)
}

func sortBehind(list []Behind) {
	slices.SortFunc(list, func(a, b Behind) int { return int(a.Partition - b.Partition) })
}

// Difference is a place where two figures that must agree do not.
type Difference struct {
	What      string       `json:"what"`
	Partition int32        `json:"partition"`
	Offset    *int64       `json:"offset,omitempty"` // usage offset, where it could be traced
	Invoice   *activity.ID `json:"-"`
	Line      *activity.ID `json:"-"`
	Pool      *activity.ID `json:"-"`
	InvoiceID string       `json:"invoice,omitempty"`
	LineID    string       `json:"line,omitempty"`
	PoolID    string       `json:"pool,omitempty"`
	Account   string       `json:"account,omitempty"`
	Product   string       `json:"product,omitempty"`
	Currency  string       `json:"currency,omitempty"`
	Left      Figure       `json:"left"`
	Right     Figure       `json:"right"`
	Note      string       `json:"note,omitempty"`
}

// Figure is a number and where it stands.
type Figure struct {
	Where string `json:"where"`
	Value string `json:"value"`
}

// String is the difference on one line.
func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "partition %d", d.Partition)
	if d.Offset != nil {
		fmt.Fprintf(&b, ", offset %d", *d.Offset)
	}
	if d.LineID != "" {
		fmt.Fprintf(&b, ", line %s of invoice %s", d.LineID, d.InvoiceID)
	}
	if d.PoolID != "" {
		fmt.Fprintf(&b, ", pool %s", d.PoolID)
	}
	switch {
	case d.Account != "" && d.Product != "":
		fmt.Fprintf(&b, " (account %s, product %s)", d.Account, d.Product)
	case d.Account != "":
		fmt.Fprintf(&b, " (account %s)", d.Account)
	}
	fmt.Fprintf(&b, ": %s: %s in %s, %s in %s", d.What, d.with(d.Left), d.Left.Where, d.with(d.Right), d.Right.Where)
	if d.Note != "" {
		b.WriteString("; " + d.Note)
	}
	return b.String()
}

func (d *Difference) with(f Figure) string {
	if d.Currency == "" || strings.TrimLeft(f.Value[len(f.Value)-1:], "0123456789") != "" {
		return f.Value // words carry no currency
	}
	return f.Value + " " + d.Currency
}

// Text is the result for people.
func (r *Result) Text() string {
	var b strings.Builder
	for _, p := range r.Partitions {
		fmt.Fprintf(&b, "partition %d: accepted %d + retried %d = rated %d + duplicates %d + rejected %d; in reports %d%s\n",
			p.Partition, p.Accepted, p.Retried, p.Rated, p.Duplicates, p.Rejected, p.Reported, mark(p.OK))
	}
	for _, s := range r.Sums {
		fmt.Fprintf(&b, "partition %d: charged %s %s, in lines %s, in reports %s%s\n", s.Partition, s.Charged, s.Currency, s.Lines, s.Reported, mark(s.OK))
	}
	for _, w := range r.Behind {
		fmt.Fprintln(&b, w)
	}
	switch {
	case r.OK:
		fmt.Fprintf(&b, "%s agrees: %d partitions, %d invoices, %d lines, %d pools\n", r.Period, len(r.Partitions), r.Invoices, r.Lines, r.Pools)
	case r.First != nil:
		fmt.Fprintf(&b, "%s does not agree: %d differences, the first: %s\n", r.Period, r.Differences, r.First)
	default:
		fmt.Fprintf(&b, "%s could not be compared\n", r.Period)
	}
	return b.String()
}

func mark(ok bool) string {
	if ok {
		return ""
	}
	return "  <-- differs"
}

// differ notes a difference; the first one is kept.
func (r *Result) differ(d Difference) {
	r.Differences++
	if r.First != nil {
		return
	}
	if d.Invoice != nil {
		d.InvoiceID = d.Invoice.String()
	}
	if d.Line != nil {
		d.LineID = d.Line.String()
	}
	if d.Pool != nil {
		d.PoolID = d.Pool.String()
	}
	r.First = &d
}
