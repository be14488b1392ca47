// Package oracle prices usage the slow and obvious way, so that the product's prices have something to be compared with. It is
// written from the description of the prices and from nothing else: it imports nothing of this project, keeps every event,
// computes every Total anew from all of them with exact fractions, and knows no states, no codecs and no limits.
//
// For each rate k that was in effect, in order of their start, with S_k the usage through its segment,
//
//	amount of segment k = Total_k(S_k) - Total_k(S_{k-1})
//
// and each Total is rounded half away from zero to the 12th decimal, once. A Total whose events or sums pass ±10^15, or which does
// so itself before its maximum, is out of scope, because the product may reject the event: Result.Beyond says which.
// Also out of scope: which exchange rate holds, minimums (the close trues them up), pricing levels, and which documents are refused.
//
// Generate draws random cases with their documents and expected amounts, Shrink makes a failing one short:
//
//	wrong := func(c *oracle.Case) bool { return price(c.Document(), c.EventsJSON()) != amounts(c.Expected()) }
//	if c := oracle.Generate(seed, oracle.Options{}); wrong(&c) {
//		c = oracle.Shrink(c, wrong)
//		t.Fatal(c.String())
//	}
package oracle

import (
	"math/big"
	"strings"
	"time"
)

// Rate is a rating method with its prices. Absent numbers are nil; the names of models and options are the catalogue's.
type Rate struct {
	ID         string    // where it matters which rate is which: in a Ledger
	List       string    // … and of whose prices it is one, which succeed one another
	Start, End time.Time // half open; zero: unbounded
	Model      string

	Aggregation string // "" is sum
	Attribute   string // of unique
	Level       string // of time_weighted: "" or change, absolute
	Rounding    *Rounding

	Amount, UnitPrice              *big.Rat // flat, per_unit
	Tiers                          []Tier
	Size, Price, Free              *big.Rat // package
	Formula                        *Formula
	Percent, Fixed                 *big.Rat // percentage: rate, fixed
	FreeEvents                     int      // 0: none
	FreeAmount, Min, Max           *big.Rat // percentage
	Dimensions                     []Dimension
	Entries                        []Entry
	Default                        *Rate
	Included, Maximum              *big.Rat
	Minimum                        *big.Rat // of no effect here
	HalfOpen, ZeroFlat, WholeEvent bool     // bounds: half_open, zero_usage_flat: charge, split: false
	ProrateDay, Restart            bool     // prorate: day, tiers_restart: true
	Pool                           string

	Currency string   // of the prices, "": USD. Sums of money in one currency are of no use to rates in another
	Exchange *big.Rat // turns each total into the line's currency, where it is rounded once more; nil: it is in that

	settled []cell
}

// Formula is a price that looks at the line: the quantity at one price for the lines on which an attribute has a value and at another for all
// others, so much for each event, and so much for each day that the calendar has in the billing period. Each product is rounded.
type Formula struct {
	Group, Value             string // Group "": no line is told apart, Else is not looked at
	Then, Else, Events, Days *big.Rat
}

// Tier is a step of any model with steps; each uses the fields of its model.
type Tier struct {
	UpTo, UnitPrice, Flat *big.Rat // UpTo nil: the last
	Percent               *big.Rat // graduated_percentage
	BlockSize, MaxBlocks  *big.Rat // block_*; MaxBlocks nil: the last
	Price                 *big.Rat // block_*, capacity
	Limits                map[string]*big.Rat
}

// Rounding is of quantities. With First and Next each event is billed as at least First, then in steps of Next.
type Rounding struct {
	Mode        string // "": none; round, ceil, floor
	Precision   int
	OnEvent     bool
	First, Next *big.Rat
}

// Dimension is what a matrix chooses by.
type Dimension struct {
	Name, From string // From "": Name
	By         string // "" or exact, prefix, range, time_of_day, weekday
}

// Entry is a priced field of a matrix. What Match leaves out may be anything.
type Entry struct {
	Match map[string]Match
	Rate  Rate
}

// Match is the condition of one dimension.
type Match struct {
	Values   []string // exact, prefix, weekday (mon ... sun)
	From, To *big.Rat // range, half open; one may be nil
	// FromMinute and ToMinute are the local minutes of the day of a time_of_day, half open; they may wrap midnight.
	FromMinute, ToMinute int
}

// Event is one usage event. A nil Amount is absent.
type Event struct {
	ID               string
	Time             time.Time
	Account, Product string
	Package          string
	Quantity, Amount *big.Rat // the amount is in the currency of the rate …
	Foreign          bool     // … but for one that nothing turns into it
	Attributes       map[string]string
}

// Usage is the period that a line's usage belongs to.
type Usage struct {
	Start, End time.Time
	Zone       *time.Location
	Carried    *big.Rat // time_weighted: the level that the period before left; nil: 0
}

// The kinds of models and aggregations that are told apart in more than one place.
const (
	sumOf        = "sum"
	countOf      = "count"
	maxOf        = "max"
	latestOf     = "latest"
	uniqueOf     = "unique"
	timeWeighted = "time_weighted"

	flat                = "flat"
	perUnit             = "per_unit"
	graduated           = "graduated"
	volume              = "volume"
	packaged            = "package"
	blockGraduated      = "block_graduated"
	blockVolume         = "block_volume"
	percentage          = "percentage"
	graduatedPercentage = "graduated_percentage"
	matrix              = "matrix"
	dynamic             = "dynamic"
	capacity            = "capacity"
	formula             = "formula"
)

func (r *Rate) aggregation() string {
	if r.Aggregation == "" {
		return sumOf
	}
	return r.Aggregation
}

// kind names what a rate accumulates. Rates of one kind go on from each other's usage.
func (r *Rate) kind() string {
	switch r.Model {
	case percentage, graduatedPercentage, dynamic:
		return "money" + r.Currency
	}
	switch a := r.aggregation(); a {
	case sumOf, countOf:
		return "quantity"
	case uniqueOf:
		return uniqueOf + " " + r.Attribute
	case timeWeighted:
		if r.Level == "absolute" {
			return timeWeighted + " absolute"
		}
		return timeWeighted + " change"
	default:
		return a
	}
}

// OfMoney says whether it prices money values.
func (r *Rate) OfMoney() bool { return strings.HasPrefix(r.kind(), "money") }

// inLogOrder says that each event is charged when it arrives, and that what it cost then stays.
func (r *Rate) inLogOrder() bool {
	switch r.Model {
	case percentage:
		return r.Min != nil || r.Max != nil || r.FreeEvents > 0 || positive(r.FreeAmount)
	case graduated:
		return r.WholeEvent
	}
	return false
}

func (r *Rate) covers(t time.Time) bool {
	return (r.Start.IsZero() || !t.Before(r.Start)) && (r.End.IsZero() || t.Before(r.End))
}

func positive(x *big.Rat) bool { return x != nil && x.Sign() > 0 }
