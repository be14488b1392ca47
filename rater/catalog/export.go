package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// exported is a document in the order in which people read it.
type exported struct {
	Currency  string          `json:"currency,omitempty"`
	Seller    sellerDef       `json:"seller,omitzero"`
	Products  []*productDef   `json:"products,omitempty"`
	Classes   []*rateClassDef `json:"rate_classes,omitempty"`
	Packages  []*packageDef   `json:"packages,omitempty"`
	Accounts  []*accountDef   `json:"accounts,omitempty"`
	Contracts []*contractDef  `json:"contracts,omitempty"`
	Exchange  []*exchangeDef  `json:"exchange_rates,omitempty"`
}

// ExportJSON writes the newest rows as a document; applying it again changes nothing. Deleted rows
// are passed over. A contract's account must be among the rows for its dates to be local ones.
func ExportJSON(rows []Row) ([]byte, error) {
	e := exported{}
	zones := map[string]*time.Location{} // by account
	rows = slices.Clone(rows)
	order := map[Kind]int{KindSettings: 0, KindProduct: 1, KindRateClass: 2, KindPackage: 3, KindAccount: 4, KindContract: 5, KindExchangeRates: 6}
	slices.SortFunc(rows, func(a, b Row) int {
		if a.Kind != b.Kind {
			return order[a.Kind] - order[b.Kind]
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, row := range rows {
		if row.Deleted {
			continue
		}
		if err := e.add(row, zones); err != nil {
			return nil, err
		}
	}
	body, err := json.MarshalIndent(&e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return append(body, '\n'), nil
}

func (e *exported) add(row Row, zones map[string]*time.Location) error {
	switch row.Kind {
	case KindSettings:
		var d settingsDef
		if err := unmarshal(row, &d); err != nil {
			return err
		}
		e.Currency, e.Seller = d.Currency, d.Seller
	case KindProduct:
		d, err := appended(row, &e.Products)
		if err != nil {
			return err
		}
		exportRates(d.Rates, e.Currency, time.UTC)
	case KindRateClass:
		d, err := appended(row, &e.Classes)
		if err != nil {
			return err
		}
		exportRates(d.Rates, e.Currency, time.UTC)
	case KindPackage:
		d, err := appended(row, &e.Packages)
		if err != nil {
			return err
		}
		for _, p := range d.Products {
			exportRates(p.Rates, e.Currency, time.UTC)
		}
	case KindExchangeRates:
		_, err := appended(row, &e.Exchange)
		return err
	case KindAccount:
		d, err := appended(row, &e.Accounts)
		if err != nil {
			return err
		}
		zone, err := loadZone(d.TimeZone)
		if err != nil {
			return fmt.Errorf("export account %s: %w", d.ID, err)
		}
		zones[d.ID] = zone
		d.export(zone)
	case KindContract:
		d, err := appended(row, &e.Contracts)
		if err != nil {
			return err
		}
		zone := zones[d.Account]
		if zone == nil {
			zone = time.UTC
		}
		d.Start, d.End = d.Start.local(zone), d.End.local(zone)
		exportRates(d.Rates, "", zone)
	}
	return nil
}

func appended[T any](row Row, into *[]*T) (*T, error) {
	d := new(T)
	if err := unmarshal(row, d); err != nil {
		return nil, err
	}
	*into = append(*into, d)
	return d, nil
}

// export leaves out what a document does not have.
func (d *accountDef) export(zone *time.Location) {
	d.RoutingKey, d.Seller, d.Billing = "", "", nil
	for _, i := range d.Identifiers {
		i.Start, i.End = i.Start.local(zone), i.End.local(zone)
	}
	for _, list := range [][]*provisionDef{d.Products, d.Packages} {
		for _, p := range list {
			p.Start, p.End = p.Start.local(zone), p.End.local(zone)
			exportRates(p.Rates, d.Currency, zone)
		}
	}
}

// exportRates leaves out ids that follow from the place and the currency that is the default.
func exportRates(rates []*rateDef, currency string, zone *time.Location) {
	for _, r := range rates {
		if strings.Contains(r.ID, ":") {
			r.ID = ""
		}
		if r.Currency == currency {
			r.Currency = ""
		}
		r.Start, r.End = r.Start.local(zone), r.End.local(zone)
	}
}

// local gives the date of an instant that is a local midnight.
func (b Bound) local(zone *time.Location) Bound {
	if local, err := parseBound(b.in(zone)); err == nil {
		return local
	}
	return b
}

// plainMembers are written without quotes in YAML though they are strings in JSON.
var plainMembers = []string{
	"unit_price", "flat_price", "up_to", "amount", "size", "price", "free", "first", "next", "start", "end", "block_size", "max_blocks", "included", "maximum", "minimum",
	"rate", "fixed", "free_amount", "min", "max", "date", exchangeMember,
}

// exchangeMember stands for the member rates of exchange rates, an object, where those of a product are a list.
const exchangeMember = "exchange rates"

// ExportYAML writes what ExportJSON writes, in YAML.
func ExportYAML(rows []Row) ([]byte, error) {
	document, err := ExportJSON(rows)
	if err != nil {
		return nil, err
	}
	n, err := parseJSON("export.json", document)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(n.yaml("")); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return out.Bytes(), nil
}

func (n *node) yaml(member string) *yaml.Node {
	switch n.form {
	case nodeQuoted:
		y := &yaml.Node{Kind: yaml.ScalarNode, Value: n.text, Tag: "!!str"}
		if slices.Contains(plainMembers, member) {
			y.Tag = ""
		}
		return y
	case nodeList:
		y := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, item := range n.items {
			child := item.yaml(member)
			if member == "tiers" || member == "dimensions" || member == "prices" {
				child.Style = yaml.FlowStyle
			}
			y.Content = append(y.Content, child)
		}
		if member == "identifiers" || member == "group_by" {
			y.Style = yaml.FlowStyle
		}
		return y
	case nodeObject:
		y := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if member == "cycle" || member == "rounding" || member == "seller" || member == exchangeMember {
			y.Style = yaml.FlowStyle
		}
		for i, key := range n.keys {
			name := key.text
			switch {
			case member == "match" || member == exchangeMember:
				name = member // its members' names are free
			case name == "rates" && n.items[i].form == nodeObject:
				name = exchangeMember
			}
			y.Content = append(y.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key.text, Tag: "!!str"}, n.items[i].yaml(name))
		}
		return y
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: n.text}
}
