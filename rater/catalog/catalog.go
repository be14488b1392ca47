// Package catalog holds the definitions that decide prices: products, rate classes, packages,
// contracts and the tree of accounts, and resolves which rate prices a usage event.
//
// It is pure: no clock, context, driver or logger; it imports ledger/money and rater/method. The adapter in
// catalog/pg stores definitions as immutable rows (kind, id, seq); this package turns the rows at
// one sequence number into an immutable [Snapshot] (what all accounts share) and one [Plan] an
// account (what its chain of parents adds). A change of one account drops that account's plan and
// those of its descendants, nothing else.
//
// Invariants: a Snapshot, a Plan and everything reached from them never change after they are
// built, so partitions share them without locks; every resolution is a function of the rows at the
// plan's sequence number and of the event's time, never of now.
package catalog

import (
	"math"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
)

// Instants are nanoseconds since the Unix epoch, UTC. Periods are half open: [Start, End).
const (
	Always = math.MinInt64 // a Start that is open to the past
	Never  = math.MaxInt64 // an End that is open to the future
)

// Kind says what a definition defines.
type Kind string

// The kinds of definitions.
const (
	KindSettings  Kind = "settings" // one per seller: default currency, the seller itself
	KindProduct   Kind = "product"
	KindRateClass Kind = "rate_class"
	KindPackage   Kind = "package"
	KindAccount   Kind = "account"
	KindContract  Kind = "contract"

	KindExchangeRates Kind = "exchange_rates" // of one base currency on one day
)

// Ref names a definition.
type Ref struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// Level is the level of the pricing hierarchy that answered (pricing.md §2), by its public name.
type Level string

// The levels in the order in which they are asked; levels 1 to 4 are asked for the account, then
// for each parent while pricing is inherited.
const (
	LevelAccountProduct        Level = "account_product"
	LevelAccountPackageProduct Level = "account_package_product"
	LevelContract              Level = "contract"
	LevelRateClass             Level = "rate_class"
	LevelPackageDefault        Level = "package_default"
	LevelProductDefault        Level = "product_default"
)

// Model names a rating method (pricing.md §5).
type Model string

// The rating methods that price/ implements.
const (
	ModelFlat      Model = "flat"
	ModelPerUnit   Model = "per_unit"
	ModelGraduated Model = "graduated"
	ModelVolume    Model = "volume"
	ModelPackage   Model = "package"

	ModelBlockGraduated Model = "block_graduated"
	ModelBlockVolume    Model = "block_volume"
	ModelMatrix         Model = "matrix"
	ModelCapacity       Model = "capacity"

	ModelPercentage          Model = "percentage"
	ModelGraduatedPercentage Model = "graduated_percentage"
	ModelDynamic             Model = "dynamic"

	ModelFormula Model = "formula"
	ModelCustom  Model = "custom" // a method that the program was built with
)

// models are the rating methods in the order in which refusals list them.
var models = []Model{
	ModelFlat, ModelPerUnit, ModelGraduated, ModelVolume, ModelPackage, ModelBlockGraduated, ModelBlockVolume,
	ModelMatrix, ModelCapacity,
	ModelPercentage, ModelGraduatedPercentage, ModelDynamic,
	ModelFormula, ModelCustom,
}

// Aggregation names how events become the quantity that is priced (pricing.md §4).
type Aggregation string

// The aggregations that price/ implements.
const (
	AggregationSum   Aggregation = "sum"
	AggregationCount Aggregation = "count"

	AggregationMax          Aggregation = "max"
	AggregationLatest       Aggregation = "latest"
	AggregationTimeWeighted Aggregation = "time_weighted" // each event is a change of the level, or a level
	AggregationUnique       Aggregation = "unique"        // the distinct values of an attribute
)

// Rate is a rating method with its prices, a currency and an effective period.
type Rate struct {
	ID       string // unique in the catalogue, stable while prices change: a line's segment names it
	Product  string
	Package  string // the package that a contract's rate is limited to; empty: none
	Model    Model
	Currency string // ISO 4217
	Start    int64  // instant or Always
	End      int64  // instant or Never

	Amount    money.Decimal // flat
	UnitPrice money.Decimal // per_unit
	Tiers     []Tier        // graduated, volume, graduated_percentage
	Blocks    []Block       // block_graduated, block_volume
	Capacity  []CapacityTier
	Size      money.Decimal // package: units in a package
	Price     money.Decimal // package: price of one package
	Free      money.Decimal // package: units before the first package
	Matrix    *Matrix       // matrix: the prices among which an event's attributes and time choose
	Cell      string        // of a price inside a matrix: its match in canonical text, whose usage has a state of its own
	Outer     *Rate         // of a price inside a matrix: the rate that holds it

	Included        money.Decimal // units of a period that cost nothing
	Maximum         money.Decimal // of the amount of a line; zero: none
	Minimum         money.Decimal // of the amount of a line, trued up when the period closes; zero: none
	MinimumProrated bool          // the minimum of a part of a period is the part of it
	ProrateByDay    bool          // units count from their day to the end of the period

	Percentage *Percentage // percentage

	Own        method.Price // formula, custom
	Expression string       // formula
	Method     string       // custom
	Needs      method.Needs // what a formula looks at of the line
	SeesLine   bool         // it, or a price of its matrix, is a method of the price book's own

	Pool             Pool // whose usage has the tiers together
	Aggregation      Aggregation
	AbsoluteLevel    bool   // level: absolute: of time_weighted each event says the level, not its change
	Attribute        string // whose values unique counts
	Rounding         Rounding
	HalfOpenBounds   bool  // bounds: half_open: an up_to is the first unit of the next tier
	ChargeFlatAtZero bool  // zero_usage_flat: charge
	WholeEvents      bool  // split: false: an event costs the unit price of the tier in which it ends
	TiersRestart     bool  // this rate's segment starts from an empty state
	Anew             bool  // tiers start anew with this rate or with one before it, used or not …
	AnewSince        int64 // … whose start this is
	Level            Level
	Owner            Ref    // the definition that holds the rate
	OwnerAccount     string // the account that a level 1 to 4 answer belongs to; empty for defaults
	Seq              int64  // sequence number of the owner's row
}

// GoesOnFrom says whether the tiers of r go on from usage under a rate that starts at start.
func (r *Rate) GoesOnFrom(start int64) bool {
	if r.Outer != nil {
		r = r.Outer
	}
	return !r.Anew || start >= r.AnewSince
}

// Tier is a step of a tiered price. The last tier has no upper bound.
type Tier struct {
	UpTo      money.Decimal // inclusive unless the rate says half open; meaningless when Last
	Last      bool
	UnitPrice money.Decimal // of graduated_percentage: percent
	FlatPrice money.Decimal
}

// Percentage is the prices of the model percentage, which charges each event by its money value.
type Percentage struct {
	Rate       money.Decimal // percent of the value
	Fixed      money.Decimal // of each event
	FreeEvents int64         // 0: none
	FreeAmount money.Decimal // 0: none
	Min, Max   money.Decimal // of an event's charge, if there are any
	HasMin     bool
	HasMax     bool
}

// InLogOrder says whether the charge of an event depends on more than the sum of all: on its own value, or on what was
// free before it.
func (p *Percentage) InLogOrder() bool {
	return p.HasMin || p.HasMax || p.FreeEvents > 0 || !p.FreeAmount.IsZero()
}

// Block is a tier of blocks, each sold whole. The last tier has no upper bound.
type Block struct {
	Size  money.Decimal // units in a block
	Price money.Decimal // of one block
	Count money.Decimal // blocks in the tier; meaningless when Last
	UpTo  money.Decimal // units in the blocks of this tier and all before it; meaningless when Last
	Last  bool
}

// CapacityTier is a tier that holds as much of each product as its limits say.
type CapacityTier struct {
	Price  money.Decimal
	Limits []Limit
}

// Limit is the most of a product that a tier holds.
type Limit struct {
	Product string
	Most    money.Decimal
}

// Rounding says how a quantity is rounded before it is priced.
type Rounding struct {
	Mode      money.RoundingMode // money.RoundNone: not at all
	Precision int                // decimals kept; negative: tens, hundreds …
	PerEvent  bool               // on: event; otherwise on the total
	First     money.Decimal      // telecom increments: an event counts as at least First …
	Next      money.Decimal      // … then in steps of Next; zero: no increments
}

// Product is something that is used and priced.
type Product struct {
	ID              string
	Name            string
	Unit            string
	Kind            string // usage (others are charged by the close job)
	Identifiers     []string
	GroupBy         []string // attributes whose values split a line
	ProvisionedOnly bool
	TaxCode         string
	Rates           []*Rate // ordered by Start
	Seq             int64
}

// RateClass is a set of rates that contracts refer to by name.
type RateClass struct {
	ID    string
	Name  string
	Rates map[string][]*Rate // by product, ordered by Start
	Seq   int64
}

// Package bundles products, each with its default rates inside the package.
type Package struct {
	ID       string
	Name     string
	Products map[string]*PackageProduct
	Seq      int64
}

// PackageProduct is a product inside a package, possibly nested below another.
type PackageProduct struct {
	Product string
	Parent  string
	Rates   []*Rate // ordered by Start
}

// Account is who uses, and through its chain who is invoiced, with its contracts.
type Account struct {
	ID             string
	Name           string
	Parent         string // empty: none
	InheritPricing bool
	Currency       string
	Zone           *time.Location // the billing time zone
	Class          string
	TermsDays      int           // payment terms; -1: none of its own
	LateReject     bool          // late usage is rejected instead of carried
	RoutingKey     string        // billing root when the account was created; never changes
	Seller         string        // who invoices it: the provider when the account was created; never changes
	Billing        []BillingTerm // ordered by Start; the first starts Always
	Identifiers    []Identifier
	Products       []ProvisionedProduct
	Packages       []ProvisionedPackage // in the order in which they were provisioned
	Contracts      []*Contract          // ordered by Start, then ID
	Seq            int64                // the newest sequence number of its own row and its contracts'
}

// BillingTerm says from when on who is invoiced and in which cycle. A change takes effect where a
// period ends, so terms never cut a period.
type BillingTerm struct {
	Start        int64
	BillToParent bool
	Cycle        Cycle
	Zone         *time.Location
}

// Cycle is the rhythm of an account's billing periods.
type Cycle struct {
	Every     string // daily weekly biweekly monthly quarterly yearly manual
	AnchorDay int    // day of the month (31: its last day); weekday 1 (Monday) to 7 for weeks
}

// Identifier is another name of an account, valid for events in [Start, End). History is append-only.
type Identifier struct {
	Value string
	Start int64
	End   int64
}

// ProvisionedProduct is a product that an account has, with rates of its own if any.
type ProvisionedProduct struct {
	Product string
	Start   int64
	End     int64
	Rates   []*Rate // ordered by Start
}

// ProvisionedPackage is a package that an account has, with rates of its own by product if any.
type ProvisionedPackage struct {
	Package string
	Start   int64
	End     int64
	Rates   map[string][]*Rate // by product, ordered by Start
}

// Contract is an agreement of an account with a period, rates of its own and at most one rate class.
type Contract struct {
	ID        string
	Account   string
	Start     int64
	End       int64
	RateClass string             // empty: none
	Rates     map[string][]*Rate // by product, ordered by Start
	Seq       int64
}
