package catalog

import (
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
)

// Document is a catalogue document: what it creates, updates and deletes. It was checked as far as
// it can be by itself; [Document.Revise] checks it against what is stored. Revising resolves dates
// and defaults in place, so a document is applied once.
type Document struct {
	Author string // who applies it, which is kept with what it changes; it is not part of the text

	name     string
	root     *place
	settings *settingsDef
	products []*productDef
	classes  []*rateClassDef
	packages []*packageDef
	accounts []*accountDef
	contract []*contractDef
	exchange []*exchangeDef
	deletes  []*deleteDef
	prices   *priceList // that was not filled in yet
}

type deleteDef struct {
	at   place
	kind string
	id   string
}

const notYet = "leave it out"

// maxFreeEvents bounds what a rate gives away by number.
const maxFreeEvents = 1_000_000_000_000

// ParseDocument reads a catalogue document in YAML or JSON. The name stands in errors and tells
// JSON by its ending. The error is an *Issues with everything that is wrong.
func ParseDocument(name string, data []byte) (*Document, error) {
	root, err := parseNodes(name, data)
	if err != nil {
		return nil, err
	}
	r := &reader{report{file: name}}
	d := &Document{name: name, root: &place{line: root.line}}
	r.object(root, d.root, d.fields(r))
	if err := r.err(); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Document) fields(r *reader) []field {
	settings := func(read func(s *settingsDef) read) read {
		return func(n *node, at *place) {
			if d.settings == nil {
				d.settings = &settingsDef{at: *at}
			}
			read(d.settings)(n, at)
		}
	}
	return []field{
		{"currency", settings(func(s *settingsDef) read { return r.currency(&s.Currency) })},
		{"seller", settings(func(s *settingsDef) read { return r.seller(&s.Seller) })},
		{"products", objects(r, &d.products, r.productFields)},
		{"rate_classes", objects(r, &d.classes, r.classFields)},
		{"packages", objects(r, &d.packages, r.packageFields)},
		{"accounts", objects(r, &d.accounts, r.accountFields)},
		{"contracts", objects(r, &d.contract, r.contractFields)},
		{"delete", objects(r, &d.deletes, r.deleteFields)},
		{"tax_rules", r.unsupported(notYet)},
		{"exchange_rates", objects(r, &d.exchange, r.exchangeFields)},
		{"dunning_flows", r.unsupported(notYet)},
		{"campaigns", r.unsupported(notYet)},
	}
}

func (r *reader) seller(s *sellerDef) read {
	return func(n *node, at *place) {
		r.object(n, at, []field{
			{"id", r.id("seller", &s.ID)},
			{"name", r.text(&s.Name)},
			{"country", func(n *node, at *place) {
				r.text(&s.Country)(n, at)
				if c := s.Country; c != "" && (len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z') {
					r.fail(at, "must be a country code of two letters such as DE, not %q", shorten(c))
				}
			}},
		})
	}
}

func (r *reader) productFields(d *productDef, at *place) []field {
	d.at = *at
	return []field{
		{"id", r.id(KindProduct, &d.ID)},
		{"name", r.text(&d.Name)},
		{"unit", r.text(&d.Unit)},
		{"kind", r.only(productKindUsage, "products of kind usage")},
		{"identifiers", r.texts(&d.Identifiers)},
		{"group_by", r.texts(&d.GroupBy)},
		{"provisioned_only", r.boolean(&d.ProvisionedOnly)},
		{"tax_code", r.text(&d.TaxCode)},
		{"rates", r.rates(&d.Rates, ratePlace{})},
		{"every", r.unsupported("recurring products come later")},
		{"charge", r.unsupported("recurring products come later")},
		{"align", r.unsupported("recurring products come later")},
		{"prorate", r.unsupported("recurring products come later")},
		{"discount", r.unsupported("discounts come later")},
	}
}

// only accepts one word of several that the language has.
func (r *reader) only(word, supported string) read {
	return func(n *node, at *place) {
		if s, ok := r.scalar(n, at, word); ok && s != word {
			r.fail(at, "%q is not supported by this version: supported are %s", shorten(s), supported)
		}
	}
}

func (r *reader) classFields(d *rateClassDef, at *place) []field {
	d.at = *at
	return []field{
		{"id", r.id(KindRateClass, &d.ID)},
		{"name", r.text(&d.Name)},
		{"rates", r.rates(&d.Rates, ratePlace{product: true})},
	}
}

func (r *reader) packageFields(d *packageDef, at *place) []field {
	d.at = *at
	return []field{
		{"id", r.id(KindPackage, &d.ID)},
		{"name", r.text(&d.Name)},
		{"products", objects(r, &d.Products, func(p *packageProductDef, at *place) []field {
			p.at = *at
			return []field{
				{"product", r.id(KindProduct, &p.Product)},
				{"parent", r.id(KindProduct, &p.Parent)},
				{"rates", r.rates(&p.Rates, ratePlace{})},
			}
		})},
	}
}

func (r *reader) contractFields(d *contractDef, at *place) []field {
	d.at = *at
	return []field{
		{"id", r.id(KindContract, &d.ID)},
		{"account", r.id(KindAccount, &d.Account)},
		{"start", r.bound(&d.Start)},
		{"end", r.bound(&d.End)},
		{"rate_class", r.id(KindRateClass, &d.RateClass)},
		{"rates", r.rates(&d.Rates, ratePlace{product: true, pkg: true})},
	}
}

func (r *reader) deleteFields(d *deleteDef, at *place) []field {
	d.at = *at
	return []field{
		{"kind", func(n *node, at *place) {
			s, ok := r.scalar(n, at, "a kind")
			switch Kind(s) {
			case KindProduct, KindRateClass, KindPackage, KindAccount, KindContract, KindExchangeRates:
				d.kind = s
			default:
				if ok {
					r.fail(at, "must be one of product, rate_class, package, account, contract, exchange_rates, not %q", shorten(s))
				}
			}
		}},
		{"id", r.text(&d.id)},
	}
}

func (r *reader) accountFields(d *accountDef, at *place) []field {
	d.at = *at
	return []field{
		{"id", r.id(KindAccount, &d.ID)},
		{"name", r.text(&d.Name)},
		{"parent", r.id(KindAccount, &d.Parent)},
		{"bill_to", r.choice(&d.BillTo, billToSelf, billToParent)},
		{"inherit_pricing", func(n *node, at *place) {
			inherit := true
			if r.boolean(&inherit)(n, at); !inherit {
				d.InheritPricing = &inherit
			}
		}},
		{"currency", r.currency(&d.Currency)},
		{"time_zone", r.zone(&d.TimeZone)},
		{"cycle", r.cycle(&d.Cycle)},
		{"terms_days", func(n *node, at *place) {
			days := 0
			r.integer(&days, 0, 3650)(n, at)
			d.TermsDays = &days
		}},
		{"class", r.text(&d.Class)},
		{"late", r.choice(&d.Late, lateCarry, lateReject)},
		{"identifiers", r.list(func(n *node, at *place) { d.Identifiers = append(d.Identifiers, r.identifier(n, at)) })},
		{"products", objects(r, &d.Products, func(p *provisionDef, at *place) []field {
			p.at = *at
			return []field{
				{"product", r.id(KindProduct, &p.Product)},
				{"start", r.bound(&p.Start)},
				{"end", r.bound(&p.End)},
				{"rates", r.rates(&p.Rates, ratePlace{})},
			}
		})},
		{"packages", objects(r, &d.Packages, func(p *provisionDef, at *place) []field {
			p.at = *at
			return []field{
				{"package", r.id(KindPackage, &p.Package)},
				{"start", r.bound(&p.Start)},
				{"end", r.bound(&p.End)},
				{"rates", r.rates(&p.Rates, ratePlace{product: true})},
			}
		})},
	}
}

func (r *reader) identifier(n *node, at *place) *identifierDef {
	d := &identifierDef{at: *at}
	if n.form == nodePlain || n.form == nodeQuoted {
		r.text(&d.Value)(n, at)
		d.plain = true
		return d
	}
	r.object(n, at, []field{
		{"value", r.text(&d.Value)},
		{"start", r.bound(&d.Start)},
		{"end", r.bound(&d.End)},
	})
	return d
}

func (r *reader) cycle(c *cycleDef) read {
	return func(n *node, at *place) {
		r.object(n, at, []field{
			{"every", r.choice(&c.Every, EveryMonth, EveryDay, EveryWeek, EveryTwoWeeks, EveryQuarter, EveryYear, EveryByHand)},
			{"anchor_day", r.integer(&c.AnchorDay, 1, 31)},
		})
		switch {
		case (c.Every == EveryWeek || c.Every == EveryTwoWeeks) && c.AnchorDay > 7:
			r.fail(at.member("anchor_day"), "must be a weekday from 1 (Monday) to 7 (Sunday) for a %s cycle, not %d", c.Every, c.AnchorDay)
		case (c.Every == EveryDay || c.Every == EveryByHand) && c.AnchorDay > 1:
			r.fail(at.member("anchor_day"), "has no meaning for a %s cycle: leave it out", c.Every)
		}
		if c.AnchorDay == defaultAnchor {
			c.AnchorDay = 0
		}
	}
}

// ratePlace says what a rate must name where it stands.
type ratePlace struct{ product, pkg bool }

func (r *reader) rates(into *[]*rateDef, where ratePlace) read {
	return r.list(func(n *node, at *place) {
		d := &rateDef{at: *at}
		r.object(n, at, r.rateFields(d, where))
		r.checkRate(d)
		*into = append(*into, d)
	})
}

func (r *reader) rateFields(d *rateDef, where ratePlace) []field {
	fields := append(r.priceFields(d), []field{
		{"id", r.id(kindRate, &d.ID)},
		{"currency", r.currency(&d.Currency)},
		{"start", r.bound(&d.Start)},
		{"end", r.bound(&d.End)},
		{"dimensions", r.dimensions(&d.Dimensions)},
		{"prices", r.prices(&d.Prices)},
		{"default", r.defaultPrice(&d.Default)},
		{"aggregation", func(n *node, at *place) { d.Aggregation = r.aggregation(n, at) }},
		{"level", r.level(d)},
		{"attribute", r.text(&d.Attribute)},
		{"rounding", r.rounding(&d.Rounding)},
		{"tiers_restart", r.boolean(&d.TiersRestart)},
		{"pool", r.choice(&d.Pool, poolLine, string(PoolAccount), string(PoolPackage), string(PoolInvoice))},
		{"minimum", r.decimal(&d.Minimum)},
		{"minimum_prorated", r.boolean(&d.MinimumByDay)},
	}...)
	if where.product {
		fields = append(fields, field{"product", r.id(KindProduct, &d.Product)})
	}
	if where.pkg {
		fields = append(fields, field{"package", r.id(KindPackage, &d.Package)})
	}
	return fields
}

// priceFields are the members that say how much, of a rate and of each price inside a matrix.
func (r *reader) priceFields(d *rateDef) []field {
	return []field{
		{"model", func(n *node, at *place) { d.Model = r.model(n, at) }},
		{"amount", r.someDecimal(&d.Amount)},
		{"unit_price", r.someDecimal(&d.UnitPrice)},
		{"expression", r.expression(&d.Expression)},
		{"method", r.id(kindRate, &d.Method)},
		{"parameters", r.parameters(&d.Parameters)},
		{"tiers", r.tiers(&d.Tiers)},
		{"size", r.someDecimal(&d.Size)},
		{"price", r.someDecimal(&d.Price)},
		{"free", r.decimal(&d.Free)},
		{"rate", r.someDecimal(&d.Rate)},
		{"fixed", r.decimal(&d.Fixed)},
		{"free_events", r.integer(&d.FreeEvents, 0, maxFreeEvents)},
		{"free_amount", r.decimal(&d.FreeAmount)},
		{"min", r.someDecimal(&d.Min)},
		{"max", r.someDecimal(&d.Max)},
		{"bounds", r.choice(&d.Bounds, boundsInclusive, boundsHalfOpen)},
		{"zero_usage_flat", r.choice(&d.ZeroUsageFlat, zeroFlatSkip, zeroFlatCharge)},
		{"split", r.split(&d.Split)},
		{"included", r.decimal(&d.Included)},
		{"maximum", r.maximum(&d.Maximum)},
		{"prorate", r.choice(&d.Prorate, prorateNot, prorateByDay)},
	}
}

// maximum reads the cap of an amount. No cap is no member: a cap of zero would make everything free.
func (r *reader) maximum(into *money.Decimal) read {
	return func(n *node, at *place) {
		before := r.count()
		r.decimal(into)(n, at)
		if r.count() == before && into.Sign() <= 0 {
			r.fail(at, "must be greater than 0, not %s: leave it out where nothing caps the amount", into)
		}
	}
}

func (r *reader) model(n *node, at *place) string {
	s, ok := r.scalar(n, at, "a model")
	if !ok {
		return ""
	}
	if !slices.Contains(models, Model(s)) {
		names := make([]string, len(models))
		for i := range models {
			names[i] = string(models[i])
		}
		if name := closest(s, names); name != "" {
			r.fail(at, "must be a rating method, not %q: did you mean %s?", shorten(s), name)
			return ""
		}
		r.fail(at, "must be one of %s, not %q", listed(models, ", "), shorten(s))
		return ""
	}
	return s
}

func (r *reader) aggregation(n *node, at *place) string {
	s, ok := r.scalar(n, at, "an aggregation")
	switch Aggregation(s) {
	case AggregationCount, AggregationMax, AggregationLatest, AggregationTimeWeighted, AggregationUnique:
		return s
	case AggregationSum:
	default:
		if ok {
			r.fail(at, "must be sum, count, max, latest, unique or time_weighted, not %q", shorten(s))
		}
	}
	return ""
}

// level reads what an event says of a level that is averaged over time.
func (r *reader) level(d *rateDef) read {
	choice := r.choice(&d.Level, levelChange, levelAbsolute)
	return func(n *node, at *place) {
		d.level = n.text
		choice(n, at)
	}
}

// split is stored where it is not the default.
func (r *reader) split(into **bool) read {
	return func(n *node, at *place) {
		split := true
		if r.boolean(&split)(n, at); !split {
			*into = &split
		}
	}
}

func (r *reader) tiers(into *[]tierDef) read {
	return r.list(func(n *node, at *place) {
		t := tierDef{at: *at}
		r.object(n, at, []field{
			{"up_to", r.someDecimal(&t.UpTo)},
			{"unit_price", r.decimal(&t.UnitPrice)},
			{"flat_price", r.decimal(&t.FlatPrice)},
			{"rate", r.someDecimal(&t.Rate)},
			{"block_size", r.someDecimal(&t.BlockSize)},
			{"max_blocks", r.someDecimal(&t.MaxBlocks)},
			{"price", r.someDecimal(&t.Price)},
			{"limits", r.limits(&t)},
		})
		*into = append(*into, t)
	})
}

func (r *reader) rounding(d *roundingDef) read {
	return func(n *node, at *place) {
		r.object(n, at, []field{
			{"mode", r.choice(&d.Mode, "none", "round", "ceil", "floor")},
			{"precision", r.integer(&d.Precision, -15, money.Scale)},
			{"on", r.choice(&d.On, roundingOnTotal, roundingOnEvent)},
			{"first", r.decimal(&d.First)},
			{"next", r.decimal(&d.Next)},
		})
		increments := d.First.Sign() != 0 || d.Next.Sign() != 0
		switch {
		case increments && d.Mode != "":
			r.fail(at, "has both a mode and increments: use {mode, precision, on} or {first, next}")
		case increments && (d.First.Sign() < 0 || d.Next.Sign() <= 0):
			r.fail(at.member("next"), "must be greater than 0, and first not below 0")
		case !increments && d.Mode == "" && (d.Precision != 0 || d.On != ""):
			r.fail(at.member("mode"), "is missing: use round, ceil or floor")
		}
	}
}
