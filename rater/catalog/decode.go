package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/method"
)

// Row is a stored definition: its body is the JSON of the definition at that sequence number. A
// deleted row keeps the last body, so that whoever defines the id again goes on from it.
type Row struct {
	Ref
	Seq     int64
	Deleted bool
	Body    []byte
}

// owner is what the rates of a definition have in common.
type owner struct {
	ref        Ref
	seq        int64
	level      Level
	account    string
	start, end int64 // the period in which the owner has the rates
}

// rate compiles a stored rate, clipped to its owner's period.
func (o owner) rate(d *rateDef, product string) (*Rate, error) {
	r := &Rate{
		ID: d.ID, Product: product, Package: d.Package, Currency: d.Currency,
		Start: max(d.Start.startAt(), o.start), End: min(d.End.endAt(), o.end),
		Aggregation: AggregationSum, Pool: Pool(d.Pool), TiersRestart: d.TiersRestart, Minimum: d.Minimum, MinimumProrated: d.MinimumByDay,
		Level: o.level, Owner: o.ref, OwnerAccount: o.account, Seq: o.seq, SeesLine: seesLine(d),
	}
	if d.Aggregation != "" {
		r.Aggregation = Aggregation(d.Aggregation)
	}
	r.AbsoluteLevel, r.Attribute = d.Level == levelAbsolute, d.Attribute
	if d.Rounding != (roundingDef{}) {
		r.Rounding = Rounding{
			Mode: roundingModes[d.Rounding.Mode], Precision: d.Rounding.Precision,
			PerEvent: d.Rounding.On == roundingOnEvent, First: d.Rounding.First, Next: d.Rounding.Next,
		}
	}
	r.price(d)
	if r.Own == nil && (r.Model == ModelFormula || r.Model == ModelCustom) {
		_, err := ownPrice(d)
		return nil, fmt.Errorf("rate %s: %w", d.ID, err)
	}
	if r.Model == ModelMatrix {
		var err error
		if r.Matrix, _, err = matrixOf(d, r); err != nil {
			return nil, fmt.Errorf("rate %s: %w", d.ID, err)
		}
	}
	return r, nil
}

// price compiles what says how much.
func (r *Rate) price(d *rateDef) {
	r.Model, r.Amount, r.UnitPrice = Model(d.Model), orZero(d.Amount), orZero(d.UnitPrice)
	r.Size, r.Price, r.Free = orZero(d.Size), orZero(d.Price), d.Free
	r.HalfOpenBounds, r.ChargeFlatAtZero = d.Bounds == boundsHalfOpen, d.ZeroUsageFlat == zeroFlatCharge
	r.Included, r.Maximum, r.ProrateByDay = d.Included, d.Maximum, d.Prorate == prorateByDay
	r.WholeEvents = d.Split != nil && !*d.Split
	if r.Model == ModelFormula || r.Model == ModelCustom {
		r.Expression, r.Method = d.Expression, d.Method
		r.Own, _ = ownPrice(d) // nil: it was accepted by a program with other methods
		r.Needs = method.NeedsOf(r.Own)
	}
	if r.Model == ModelPercentage {
		r.Percentage = &Percentage{
			Rate: orZero(d.Rate), Fixed: d.Fixed, FreeEvents: int64(d.FreeEvents), FreeAmount: d.FreeAmount,
			Min: orZero(d.Min), HasMin: d.Min != nil, Max: orZero(d.Max), HasMax: d.Max != nil,
		}
	}
	switch {
	case len(d.Tiers) == 0:
	case r.Model == ModelBlockGraduated || r.Model == ModelBlockVolume:
		r.Blocks = blocksOf(d.Tiers)
	case r.Model == ModelCapacity:
		r.Capacity = capacityOf(d.Tiers)
	default:
		r.Tiers = make([]Tier, len(d.Tiers))
		for i, t := range d.Tiers {
			r.Tiers[i] = Tier{UpTo: orZero(t.UpTo), Last: t.UpTo == nil, UnitPrice: t.UnitPrice, FlatPrice: t.FlatPrice}
			if t.Rate != nil {
				r.Tiers[i].UnitPrice = *t.Rate
			}
		}
	}
}

// blocksOf compiles tiers of blocks, whose bounds were checked when they were written.
func blocksOf(tiers []tierDef) []Block {
	blocks := make([]Block, len(tiers))
	var bound money.Decimal
	for i := range tiers {
		t := &tiers[i]
		b := Block{Size: orZero(t.BlockSize), Price: orZero(t.Price), Count: orZero(t.MaxBlocks), Last: t.MaxBlocks == nil}
		if upTo, err := blockBound(bound, t); err == nil && !b.Last {
			b.UpTo, bound = upTo, upTo
		}
		blocks[i] = b
	}
	return blocks
}

// rates compiles the rates of one product, leaving out those that never take effect.
func (o owner) rates(defs []*rateDef, product string) ([]*Rate, error) {
	var rates []*Rate
	for _, d := range defs {
		r, err := o.rate(d, product)
		if err != nil {
			return nil, err
		}
		if r.Start < r.End {
			rates = append(rates, r)
		}
	}
	order(rates)
	return rates, nil
}

// ratesByProduct compiles rates that name their products.
func (o owner) ratesByProduct(defs []*rateDef) (map[string][]*Rate, error) {
	rates := make(map[string][]*Rate, len(defs))
	for _, d := range defs {
		r, err := o.rate(d, d.Product)
		if err != nil {
			return nil, err
		}
		if r.Start < r.End {
			rates[d.Product] = append(rates[d.Product], r)
		}
	}
	for _, list := range rates {
		order(list)
	}
	return rates, nil
}

// order sorts rates that take each other's place, and tells them where tiers start anew. Rates of another currency or package
// have nothing to do with one another.
func order(rates []*Rate) {
	sortRates(rates)
	for i, r := range rates {
		for _, before := range rates[:i+1] {
			if before.TiersRestart && before.Currency == r.Currency && before.Package == r.Package {
				r.Anew, r.AnewSince = true, before.Start
			}
		}
	}
}

func sortRates(rates []*Rate) {
	slices.SortFunc(rates, func(a, b *Rate) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), strings.Compare(a.ID, b.ID))
	})
}

func orZero(d *money.Decimal) money.Decimal {
	if d == nil {
		return money.Decimal{}
	}
	return *d
}

var roundingModes = map[string]money.RoundingMode{
	"":      money.RoundNone,
	"round": money.RoundHalfUp,
	"ceil":  money.RoundCeil,
	"floor": money.RoundFloor,
}

// always is an owner whose rates have no period but their own.
func always(row Row, level Level) owner {
	return owner{ref: row.Ref, seq: row.Seq, level: level, start: Always, end: Never}
}

func unmarshal(row Row, into any) error {
	if err := json.Unmarshal(row.Body, into); err != nil {
		return fmt.Errorf("decode %s %s at %d: %w", row.Kind, row.ID, row.Seq, err)
	}
	return nil
}

func decodeProduct(row Row) (*Product, error) {
	var d productDef
	if err := unmarshal(row, &d); err != nil {
		return nil, err
	}
	rates, err := always(row, LevelProductDefault).rates(d.Rates, d.ID)
	if err != nil {
		return nil, fmt.Errorf("decode product %s at %d: %w", d.ID, row.Seq, err)
	}
	return &Product{
		ID: d.ID, Name: d.Name, Unit: d.Unit, Kind: productKindUsage, Identifiers: d.Identifiers, GroupBy: d.GroupBy,
		ProvisionedOnly: d.ProvisionedOnly, TaxCode: d.TaxCode, Rates: rates, Seq: row.Seq,
	}, nil
}

func decodeRateClass(row Row) (*RateClass, error) {
	var d rateClassDef
	if err := unmarshal(row, &d); err != nil {
		return nil, err
	}
	rates, err := always(row, LevelRateClass).ratesByProduct(d.Rates)
	if err != nil {
		return nil, fmt.Errorf("decode rate class %s at %d: %w", d.ID, row.Seq, err)
	}
	return &RateClass{ID: d.ID, Name: d.Name, Rates: rates, Seq: row.Seq}, nil
}

func decodePackage(row Row) (*Package, error) {
	var d packageDef
	if err := unmarshal(row, &d); err != nil {
		return nil, err
	}
	p := &Package{ID: d.ID, Name: d.Name, Products: make(map[string]*PackageProduct, len(d.Products)), Seq: row.Seq}
	for _, item := range d.Products {
		rates, err := always(row, LevelPackageDefault).rates(item.Rates, item.Product)
		if err != nil {
			return nil, fmt.Errorf("decode package %s at %d: %w", d.ID, row.Seq, err)
		}
		p.Products[item.Product] = &PackageProduct{Product: item.Product, Parent: item.Parent, Rates: rates}
	}
	return p, nil
}

// DecodeAccount turns an account's row and its contracts' rows into the account. Deleted contracts
// are left out; a deleted account is an error, for it is unknown.
func DecodeAccount(account Row, contracts []Row) (*Account, error) {
	if account.Deleted {
		return nil, fmt.Errorf("decode account %s at %d: it is deleted", account.ID, account.Seq)
	}
	var d accountDef
	if err := unmarshal(account, &d); err != nil {
		return nil, err
	}
	zone, err := loadZone(d.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("decode account %s: %w", d.ID, err)
	}
	a := &Account{
		ID: d.ID, Name: d.Name, Parent: d.Parent, InheritPricing: d.InheritPricing == nil || *d.InheritPricing,
		Currency: d.Currency, Zone: zone, Class: d.Class, LateReject: d.Late == lateReject, TermsDays: -1,
		RoutingKey: d.RoutingKey, Seller: d.Seller, Seq: account.Seq,
	}
	if d.TermsDays != nil {
		a.TermsDays = *d.TermsDays
	}
	if a.Billing, err = decodeBilling(&d); err != nil {
		return nil, fmt.Errorf("decode account %s: %w", d.ID, err)
	}
	for _, i := range d.Identifiers {
		a.Identifiers = append(a.Identifiers, Identifier{i.Value, i.Start.startAt(), i.End.endAt()})
	}
	if err := a.provision(&d, account); err != nil {
		return nil, fmt.Errorf("decode account %s at %d: %w", d.ID, account.Seq, err)
	}
	if err := a.contract(contracts); err != nil {
		return nil, err
	}
	return a, nil
}

// contract adds contracts to those that the account has, in the order in which they answer; the account is as new as the newest.
func (a *Account) contract(rows []Row) error {
	for _, row := range rows {
		a.Seq = max(a.Seq, row.Seq)
		if row.Deleted {
			continue
		}
		c, err := decodeContract(row)
		if err != nil {
			return err
		}
		a.Contracts = append(a.Contracts, c)
	}
	slices.SortFunc(a.Contracts, func(x, y *Contract) int { return cmp.Or(cmp.Compare(x.Start, y.Start), strings.Compare(x.ID, y.ID)) })
	return nil
}

// provision compiles what the account has, packages in the order in which they were provisioned:
// by their start, those of one start as they were written.
func (a *Account) provision(d *accountDef, row Row) error {
	o := owner{ref: row.Ref, seq: row.Seq, account: d.ID}
	for _, p := range d.Products {
		o.level, o.start, o.end = LevelAccountProduct, p.Start.startAt(), p.End.endAt()
		rates, err := o.rates(p.Rates, p.Product)
		if err != nil {
			return err
		}
		a.Products = append(a.Products, ProvisionedProduct{p.Product, o.start, o.end, rates})
	}
	for _, p := range d.Packages {
		o.level, o.start, o.end = LevelAccountPackageProduct, p.Start.startAt(), p.End.endAt()
		rates, err := o.ratesByProduct(p.Rates)
		if err != nil {
			return err
		}
		a.Packages = append(a.Packages, ProvisionedPackage{p.Package, o.start, o.end, rates})
	}
	sort.SliceStable(a.Packages, func(i, j int) bool { return a.Packages[i].Start < a.Packages[j].Start })
	return nil
}

func decodeBilling(d *accountDef) ([]BillingTerm, error) {
	terms := make([]BillingTerm, len(d.Billing))
	for i, b := range d.Billing {
		zone, err := loadZone(b.TimeZone)
		if err != nil {
			return nil, err
		}
		terms[i] = BillingTerm{Start: b.Start.startAt(), BillToParent: b.BillTo == billToParent, Cycle: b.Cycle.cycle(), Zone: zone}
	}
	if len(terms) == 0 {
		return nil, fmt.Errorf("it has no billing terms")
	}
	return terms, nil
}

func (c cycleDef) cycle() Cycle {
	every, anchor := c.Every, c.AnchorDay
	if every == "" {
		every = defaultCycle
	}
	if anchor == 0 {
		anchor = defaultAnchor
	}
	return Cycle{Every: every, AnchorDay: anchor}
}

func decodeContract(row Row) (*Contract, error) {
	var d contractDef
	if err := unmarshal(row, &d); err != nil {
		return nil, err
	}
	o := owner{
		ref: row.Ref, seq: row.Seq, level: LevelContract, account: d.Account,
		start: d.Start.startAt(), end: d.End.endAt(),
	}
	rates, err := o.ratesByProduct(d.Rates)
	if err != nil {
		return nil, fmt.Errorf("decode contract %s at %d: %w", d.ID, row.Seq, err)
	}
	return &Contract{
		ID: d.ID, Account: d.Account, Start: o.start, End: o.end, RateClass: d.RateClass, Rates: rates, Seq: row.Seq,
	}, nil
}
