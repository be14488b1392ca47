package catalog

import (
	"fmt"
	"maps"
)

// Snapshot is what all accounts share at one sequence number: products, rate classes, packages,
// settings and exchange rates. It is immutable.
type Snapshot struct {
	seq      int64
	settings Settings
	products map[string]*Product // by id
	names    map[string]*Product // by id and by identifier; an id wins
	classes  map[string]*RateClass
	packages map[string]*Package

	exchanges exchanges
}

// Settings are the catalogue's own members.
type Settings struct {
	Currency      string // the default currency; empty: none was set
	SellerID      string
	SellerName    string
	SellerCountry string
}

// NewSnapshot builds a snapshot of the newest row of each shared definition; rows of accounts and
// contracts are passed over. Its sequence number is the highest of the rows.
func NewSnapshot(rows []Row) (*Snapshot, error) {
	var seq int64
	for _, row := range rows {
		seq = max(seq, row.Seq)
	}
	return (&Snapshot{}).With(rows, seq)
}

// With returns the snapshot at seq: this one with the rows put in place of older ones. Unchanged
// definitions are shared, so it costs little when there are few rows, and nothing without any.
func (s *Snapshot) With(rows []Row, seq int64) (*Snapshot, error) {
	next := *s
	next.seq = max(seq, s.seq)
	shared := false
	var days []Row
	for _, row := range rows {
		switch row.Kind {
		case KindAccount, KindContract:
			continue
		case KindExchangeRates:
			days = append(days, row)
			continue
		}
		if !shared {
			next.products, next.classes, next.packages = cloned(s.products), cloned(s.classes), cloned(s.packages)
			shared = true
		}
		if err := next.put(row); err != nil {
			return nil, err
		}
	}
	if shared {
		next.names = make(map[string]*Product, 2*len(next.products))
		for _, p := range next.products {
			for _, name := range p.Identifiers {
				next.names[name] = p
			}
		}
		maps.Copy(next.names, next.products)
	}
	if len(days) > 0 {
		var err error
		if next.exchanges, err = s.exchanges.with(days); err != nil {
			return nil, err
		}
	}
	return &next, nil
}

func cloned[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

func (s *Snapshot) put(row Row) (err error) {
	switch row.Kind {
	case KindSettings:
		var d settingsDef
		if err := unmarshal(row, &d); err != nil {
			return err
		}
		s.settings = Settings{d.Currency, d.Seller.ID, d.Seller.Name, d.Seller.Country}
	case KindProduct:
		err = put(s.products, row, decodeProduct)
	case KindRateClass:
		err = put(s.classes, row, decodeRateClass)
	case KindPackage:
		err = put(s.packages, row, decodePackage)
	default:
		err = fmt.Errorf("build snapshot: unknown kind %q of %s at %d", row.Kind, row.ID, row.Seq)
	}
	return err
}

func put[V any](m map[string]*V, row Row, decode func(Row) (*V, error)) error {
	if row.Deleted {
		delete(m, row.ID)
		return nil
	}
	v, err := decode(row)
	if err != nil {
		return err
	}
	m[row.ID] = v
	return nil
}

// Seq is the sequence number up to which definitions count.
func (s *Snapshot) Seq() int64 { return s.seq }

// Settings returns the catalogue's settings.
func (s *Snapshot) Settings() Settings { return s.settings }

// Product finds a product by its id or one of its identifiers; nil: unknown.
func (s *Snapshot) Product(name string) *Product { return s.names[name] }

// Products returns all products in no order.
func (s *Snapshot) Products() []*Product {
	products := make([]*Product, 0, len(s.products))
	for _, p := range s.products {
		products = append(products, p)
	}
	return products
}

// RateByID finds a rate of a definition that all accounts share, nil: it is gone, or another kind of definition holds it.
func (s *Snapshot) RateByID(owner Ref, id string) *Rate {
	switch owner.Kind {
	case KindProduct:
		if product := s.products[owner.ID]; product != nil {
			return rateIn(product.Rates, id)
		}
	case KindPackage:
		if k := s.packages[owner.ID]; k != nil {
			for _, item := range k.Products {
				if r := rateIn(item.Rates, id); r != nil {
					return r
				}
			}
		}
	case KindRateClass:
		if c := s.classes[owner.ID]; c != nil {
			return rateInMap(c.Rates, id)
		}
	}
	return nil
}

// RateClass finds a rate class; nil: unknown.
func (s *Snapshot) RateClass(id string) *RateClass { return s.classes[id] }

// Package finds a package; nil: unknown.
func (s *Snapshot) Package(id string) *Package { return s.packages[id] }
