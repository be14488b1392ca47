package catalog

import "github.com/tollstream/tollstream/ledger/money"

// The definitions as they are written in a document and stored in a row: one struct a kind, whose
// JSON is the row's body. Everything that has a default is stored in one form only (left out where
// it is the default), so that equal definitions are equal bytes. Stored rates always carry their
// id and their currency, so that no later change of a default reaches them.

type settingsDef struct {
	at       place
	Currency string    `json:"currency,omitempty"`
	Seller   sellerDef `json:"seller,omitzero"`
}

type sellerDef struct {
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`
	Country string `json:"country,omitempty"`
}

type productDef struct {
	at              place
	ID              string     `json:"id"`
	Name            string     `json:"name,omitempty"`
	Unit            string     `json:"unit,omitempty"`
	Identifiers     []string   `json:"identifiers,omitempty"`
	GroupBy         []string   `json:"group_by,omitempty"`
	ProvisionedOnly bool       `json:"provisioned_only,omitempty"`
	TaxCode         string     `json:"tax_code,omitempty"`
	Rates           []*rateDef `json:"rates,omitempty"`
}

type rateClassDef struct {
	at    place
	ID    string     `json:"id"`
	Name  string     `json:"name,omitempty"`
	Rates []*rateDef `json:"rates,omitempty"`
}

type packageDef struct {
	at       place
	ID       string               `json:"id"`
	Name     string               `json:"name,omitempty"`
	Products []*packageProductDef `json:"products,omitempty"`
}

type packageProductDef struct {
	at      place
	Product string     `json:"product"`
	Parent  string     `json:"parent,omitempty"`
	Rates   []*rateDef `json:"rates,omitempty"`
}

type accountDef struct {
	at             place
	ID             string           `json:"id"`
	Name           string           `json:"name,omitempty"`
	Parent         string           `json:"parent,omitempty"`
	BillTo         string           `json:"bill_to,omitempty"`         // "parent", or left out: self
	InheritPricing *bool            `json:"inherit_pricing,omitempty"` // false, or left out: true
	Currency       string           `json:"currency,omitempty"`
	TimeZone       string           `json:"time_zone,omitempty"` // left out: UTC
	Cycle          cycleDef         `json:"cycle,omitzero"`      // left out: monthly from the first
	TermsDays      *int             `json:"terms_days,omitempty"`
	Class          string           `json:"class,omitempty"`
	Late           string           `json:"late,omitempty"` // "reject", or left out: carry
	Identifiers    []*identifierDef `json:"identifiers,omitempty"`
	Products       []*provisionDef  `json:"products,omitempty"`
	Packages       []*provisionDef  `json:"packages,omitempty"`

	// What apply adds; a document does not have it.
	RoutingKey string       `json:"routing_key,omitempty"`
	Seller     string       `json:"seller,omitempty"`
	Billing    []billingDef `json:"billing,omitempty"`
}

type cycleDef struct {
	Every     string `json:"every,omitempty"`
	AnchorDay int    `json:"anchor_day,omitempty"`
}

type billingDef struct {
	Start    Bound    `json:"start,omitzero"`
	BillTo   string   `json:"bill_to,omitempty"`
	Cycle    cycleDef `json:"cycle,omitzero"`
	TimeZone string   `json:"time_zone,omitempty"`
}

type identifierDef struct {
	at    place
	plain bool   // written as a string: without a period
	Value string `json:"value"`
	Start Bound  `json:"start,omitzero"`
	End   Bound  `json:"end,omitzero"`
}

// provisionDef is a product or a package that an account has.
type provisionDef struct {
	at      place
	Product string     `json:"product,omitempty"`
	Package string     `json:"package,omitempty"`
	Start   Bound      `json:"start,omitzero"`
	End     Bound      `json:"end,omitzero"`
	Rates   []*rateDef `json:"rates,omitempty"`
}

type contractDef struct {
	at        place
	ID        string     `json:"id"`
	Account   string     `json:"account"`
	Start     Bound      `json:"start,omitzero"`
	End       Bound      `json:"end,omitzero"`
	RateClass string     `json:"rate_class,omitempty"`
	Rates     []*rateDef `json:"rates,omitempty"`
}

type rateDef struct {
	at            place
	ID            string            `json:"id,omitempty"`
	Product       string            `json:"product,omitempty"`
	Package       string            `json:"package,omitempty"`
	Model         string            `json:"model"`
	Currency      string            `json:"currency,omitempty"`
	Start         Bound             `json:"start,omitzero"`
	End           Bound             `json:"end,omitzero"`
	Amount        *money.Decimal    `json:"amount,omitempty"`
	UnitPrice     *money.Decimal    `json:"unit_price,omitempty"`
	Tiers         []tierDef         `json:"tiers,omitempty"`
	Size          *money.Decimal    `json:"size,omitempty"`
	Price         *money.Decimal    `json:"price,omitempty"`
	Free          money.Decimal     `json:"free,omitzero"`
	Rate          *money.Decimal    `json:"rate,omitempty"`
	Fixed         money.Decimal     `json:"fixed,omitzero"`
	FreeEvents    int               `json:"free_events,omitempty"`
	FreeAmount    money.Decimal     `json:"free_amount,omitzero"`
	Min           *money.Decimal    `json:"min,omitempty"`
	Max           *money.Decimal    `json:"max,omitempty"`
	Expression    string            `json:"expression,omitempty"`
	Method        string            `json:"method,omitempty"`
	Parameters    map[string]string `json:"parameters,omitempty"`
	Dimensions    []dimensionDef    `json:"dimensions,omitempty"`
	Prices        []*entryDef       `json:"prices,omitempty"`
	Default       *entryDef         `json:"default,omitempty"`
	Included      money.Decimal     `json:"included,omitzero"`
	Maximum       money.Decimal     `json:"maximum,omitzero"`
	Minimum       money.Decimal     `json:"minimum,omitzero"`
	MinimumByDay  bool              `json:"minimum_prorated,omitempty"`
	Prorate       string            `json:"prorate,omitempty"`     // "day", or left out: none
	Aggregation   string            `json:"aggregation,omitempty"` // left out: sum
	Level         string            `json:"level,omitempty"`       // "absolute", or left out: change
	level         string            // as written
	Attribute     string            `json:"attribute,omitempty"` // of unique
	Rounding      roundingDef       `json:"rounding,omitzero"`
	Bounds        string            `json:"bounds,omitempty"`          // "half_open", or left out: inclusive
	ZeroUsageFlat string            `json:"zero_usage_flat,omitempty"` // "charge", or left out: skip
	Split         *bool             `json:"split,omitempty"`           // false, or left out: true
	TiersRestart  bool              `json:"tiers_restart,omitempty"`
	Pool          string            `json:"pool,omitempty"` // left out: line
}

type tierDef struct {
	at        place
	UpTo      *money.Decimal `json:"up_to,omitempty"`
	UnitPrice money.Decimal  `json:"unit_price,omitzero"`
	FlatPrice money.Decimal  `json:"flat_price,omitzero"`
	Rate      *money.Decimal `json:"rate,omitempty"`
	BlockSize *money.Decimal `json:"block_size,omitempty"`
	MaxBlocks *money.Decimal `json:"max_blocks,omitempty"`
	Price     *money.Decimal `json:"price,omitempty"`

	limitsAt place
	Limits   map[string]money.Decimal `json:"limits,omitempty"` // the most of each product
}

type roundingDef struct {
	Mode      string        `json:"mode,omitempty"`
	Precision int           `json:"precision,omitempty"`
	On        string        `json:"on,omitempty"` // "event", or left out: total
	First     money.Decimal `json:"first,omitzero"`
	Next      money.Decimal `json:"next,omitzero"`
}

// place is where in a document something stands. Its zero value is a stored definition.
type place struct {
	up    *place
	name  string
	index int // of an element of a list when name is empty
	line  int
	sheet *priceList // of the root of a document that a price list became
}
