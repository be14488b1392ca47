package invoicer

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// Price is an entry of an account's own price list: the rate that prices a usage event at the question's instant.
type Price struct {
	Product     string  `json:"product"`
	ProductName string  `json:"product_name,omitempty"`
	Unit        string  `json:"unit,omitempty"`
	Package     *string `json:"package" doc:"the package that the price is inside of"`
	Rate        Rate    `json:"rate"`

	Definition *catalog.Rate `json:"-"`
}

// Rate is a rate as it prices, with where it comes from.
type Rate struct {
	ID          string         `json:"id"`
	Level       string         `json:"level" doc:"of the pricing hierarchy"`
	Account     string         `json:"account,omitempty" doc:"that the level belongs to; none for defaults"`
	Owner       catalog.Ref    `json:"owner" doc:"the definition that holds the rate"`
	Model       string         `json:"model"`
	Currency    string         `json:"currency"`
	Aggregation string         `json:"aggregation"`
	Start       *time.Time     `json:"start,omitempty"`
	End         *time.Time     `json:"end,omitempty"`
	Amount      *money.Decimal `json:"amount,omitempty"`
	UnitPrice   *money.Decimal `json:"unit_price,omitempty"`
	Tiers       []Tier         `json:"tiers,omitempty"`
	Size        *money.Decimal `json:"size,omitempty"`
	Price       *money.Decimal `json:"price,omitempty"`
	Free        *money.Decimal `json:"free,omitempty"`
	Blocks      []Block        `json:"blocks,omitempty"`
	Percentage  *Percentage    `json:"percentage,omitempty"`
	Cell        string         `json:"cell,omitempty" doc:"of a matrix: the match that selected this price"`
	Included    *money.Decimal `json:"included,omitempty"`
	Minimum     *money.Decimal `json:"minimum,omitempty"`
	Maximum     *money.Decimal `json:"maximum,omitempty"`
	Restart     bool           `json:"tiers_restart,omitempty"`
	Pool        string         `json:"pool,omitempty" enum:"account,package,invoice" doc:"whose usage sets the tier: all that the account uses of the product, all inside the package, or all that is billed together; absent: the line's own"`
	Seq         int64          `json:"seq,omitempty" doc:"of the definition that holds it"`
}

// Block is a tier of blocks that are sold whole.
type Block struct {
	Size  money.Decimal  `json:"block_size"`
	Most  *money.Decimal `json:"max_blocks,omitempty" doc:"the last tier has none"`
	Price money.Decimal  `json:"price" doc:"of one block"`
}

// Percentage is the prices of a percentage of each event's money value.
type Percentage struct {
	Rate       money.Decimal  `json:"rate" doc:"percent"`
	Fixed      money.Decimal  `json:"fixed,omitzero"`
	FreeEvents int64          `json:"free_events,omitempty"`
	FreeAmount money.Decimal  `json:"free_amount,omitzero"`
	Min        *money.Decimal `json:"min,omitempty"`
	Max        *money.Decimal `json:"max,omitempty"`
}

// Tier is a step of a tiered price.
type Tier struct {
	UpTo      *money.Decimal `json:"up_to,omitempty" doc:"the last tier has none"`
	UnitPrice money.Decimal  `json:"unit_price"`
	FlatPrice *money.Decimal `json:"flat_price,omitempty"`
}

// Prices returns the account's price list: every product that it can use, ordered by product.
func (d *Desk) Prices(ctx context.Context, q Question) ([]Price, error) {
	t, err := d.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	prices := []Price{}
	for _, product := range t.plan.Snapshot().Products() {
		answer, refusal := t.plan.Resolve(product, "", t.At.UnixNano())
		if refusal != "" {
			continue
		}
		p := Price{
			Product: product.ID, ProductName: product.Name, Unit: product.Unit,
			Rate: rateOf(answer.Rate, zoneOf(t.Account)), Definition: answer.Rate,
		}
		if answer.Package != "" {
			p.Package = &answer.Package
		}
		prices = append(prices, p)
	}
	slices.SortFunc(prices, func(a, b Price) int { return cmp.Compare(a.Product, b.Product) })
	return prices, nil
}

func rateOf(r *catalog.Rate, zone *time.Location) Rate {
	out := Rate{
		ID: r.ID, Level: string(r.Level), Account: r.OwnerAccount, Owner: r.Owner, Model: string(r.Model), Currency: r.Currency,
		Aggregation: string(r.Aggregation),
	}
	if r.Start != catalog.Always {
		start := time.Unix(0, r.Start).In(zone)
		out.Start = &start
	}
	if r.End != catalog.Never {
		end := time.Unix(0, r.End).In(zone)
		out.End = &end
	}
	switch r.Model {
	case catalog.ModelFlat:
		out.Amount = &r.Amount
	case catalog.ModelPerUnit:
		out.UnitPrice = &r.UnitPrice
	case catalog.ModelPackage:
		out.Size, out.Price, out.Free = &r.Size, &r.Price, &r.Free
	}
	out.Cell, out.Restart, out.Pool, out.Seq = r.Cell, r.TiersRestart, string(r.Pool), r.Seq
	out.Included, out.Minimum, out.Maximum = unlessZero(&r.Included), unlessZero(&r.Minimum), unlessZero(&r.Maximum)
	if p := r.Percentage; p != nil {
		out.Percentage = &Percentage{Rate: p.Rate, Fixed: p.Fixed, FreeEvents: p.FreeEvents, FreeAmount: p.FreeAmount}
		if p.HasMin {
			out.Percentage.Min = &p.Min
		}
		if p.HasMax {
			out.Percentage.Max = &p.Max
		}
	}
	for i := range r.Blocks {
		b := Block{Size: r.Blocks[i].Size, Price: r.Blocks[i].Price}
		if !r.Blocks[i].Last {
			b.Most = &r.Blocks[i].Count
		}
		out.Blocks = append(out.Blocks, b)
	}
	for i := range r.Tiers {
		tier := Tier{UnitPrice: r.Tiers[i].UnitPrice}
		if !r.Tiers[i].Last {
			tier.UpTo = &r.Tiers[i].UpTo
		}
		if !r.Tiers[i].FlatPrice.IsZero() {
			tier.FlatPrice = &r.Tiers[i].FlatPrice
		}
		out.Tiers = append(out.Tiers, tier)
	}
	return out
}

func unlessZero(d *money.Decimal) *money.Decimal {
	if d.IsZero() {
		return nil
	}
	return d
}
