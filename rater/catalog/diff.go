package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Difference is what a change means in the words of whoever sells: one price, or one other property.
type Difference struct {
	Ref
	Text     string // API calls, contract c-1 of Acme GmbH, from 2026-12-01: 0.10 → 0.08 EUR per request
	Product  string // whose price it is; empty: no price by itself
	Level    Level  // of the price
	Package  string
	Currency string
	From     string // date or instant from when on; empty: always
	Until    string // the first moment without; empty: no end
	Before   string // the price in words; empty: there was none at this level
	After    string
	Reach    Reach
}

// Reach says whom a difference concerns; its zero value: no account. A price concerns the accounts that can get it: one that a nearer
// level prices is among them.
type Reach struct {
	Everyone bool   // whoever uses the product
	Account  string // this one and, unless alone, those below it that inherit its prices
	Alone    bool
	Having   Ref // the accounts that have the product or package or whose contracts name the rate class, and those below them
}

// maxDifferences bounds how many differences of one document are told; the rest is counted.
const maxDifferences = 1000

// Differences tells what changes mean; more counts those beyond the first thousand. The document must be revised, and stored is
// what it was revised against.
func (d *Document) Differences(stored Stored, changes []Change) (list []Difference, more int, err error) {
	c := &comparison{stored: stored, after: map[Ref][]byte{}}
	for i := range changes {
		if !changes[i].Deleted {
			c.after[changes[i].Ref] = changes[i].Body
		}
	}
	for i := range changes {
		if changes[i].Kind == KindExchangeRates && changes[i].Action == ActionCreated {
			continue // told together
		}
		if err := c.compare(&changes[i]); err != nil {
			return nil, 0, err
		}
	}
	c.newExchangeRates(changes)
	return c.found, c.more, nil
}

// comparison finds the names of what differences speak of.
type comparison struct {
	stored Stored
	after  map[Ref][]byte // by the definition that changes
	found  []Difference
	more   int
}

func (c *comparison) add(d Difference) {
	if len(c.found) >= maxDifferences {
		c.more++
		return
	}
	c.found = append(c.found, d)
}

// find reads a definition as the document leaves it; false: it is not at hand.
func (c *comparison) find(ref Ref, into any) bool {
	body, ok := c.after[ref]
	if !ok {
		body = c.stored.Rows[ref].Body
	}
	return json.Unmarshal(body, into) == nil
}

func (c *comparison) product(id string) (name, unit string) {
	var d productDef
	if c.find(Ref{KindProduct, id}, &d) && d.Name != "" {
		return d.Name, d.Unit
	}
	return id, d.Unit
}

func (c *comparison) account(id string) (name string, zone *time.Location) {
	var d accountDef
	if !c.find(Ref{KindAccount, id}, &d) {
		return id, time.UTC
	}
	return orID(d.Name, id), zoneOf(&d)
}

func orID(name, id string) string {
	if name == "" {
		return id
	}
	return name
}

// priced is a definition as a list of prices, each for a product at a level.
type priced struct {
	what   string // the definition in words
	prices []pricedRate
	zone   *time.Location
	reach  Reach
}

type pricedRate struct {
	slot
	stretch
	rate  *rateDef
	where string
}

// slot is where rates follow one another.
type slot struct {
	product, pkg, currency string
	level                  Level
}

func (p *priced) add(level Level, where, product, pkg string, rates []*rateDef, within stretch) {
	for _, r := range rates {
		x := pricedRate{slot{product, pkg, r.Currency, level}, r.stretch().clip(within), r, where}
		if product == "" {
			x.product = r.Product
		}
		if pkg == "" {
			x.pkg = r.Package
		}
		if x.pkg != "" && level == LevelContract {
			x.where += " in package " + x.pkg
		}
		p.prices = append(p.prices, x)
	}
}

// priced lists the prices of a stored body.
func (c *comparison) priced(ref Ref, body []byte) (p priced, err error) {
	p.zone = time.UTC
	if len(body) == 0 {
		return p, nil
	}
	all := stretch{Always, Never}
	switch ref.Kind {
	case KindProduct:
		var d productDef
		if err = json.Unmarshal(body, &d); err == nil {
			p.what, p.reach = "product "+orID(d.Name, d.ID), Reach{Everyone: !d.ProvisionedOnly}
			if d.ProvisionedOnly {
				p.reach.Having = ref
			}
			p.add(LevelProductDefault, "list price", d.ID, "", d.Rates, all)
		}
	case KindRateClass:
		var d rateClassDef
		if err = json.Unmarshal(body, &d); err == nil {
			p.what, p.reach = "rate class "+orID(d.Name, d.ID), Reach{Having: ref}
			p.add(LevelRateClass, p.what, "", "", d.Rates, all)
		}
	case KindPackage:
		var d packageDef
		if err = json.Unmarshal(body, &d); err == nil {
			p.what, p.reach = "package "+orID(d.Name, d.ID), Reach{Having: ref}
			for _, x := range d.Products {
				p.add(LevelPackageDefault, p.what, x.Product, d.ID, x.Rates, all)
			}
		}
	case KindAccount:
		var d accountDef
		if err = json.Unmarshal(body, &d); err == nil {
			name := orID(d.Name, d.ID)
			p.what, p.zone, p.reach = "account "+name, zoneOf(&d), Reach{Account: d.ID}
			for _, x := range d.Products {
				p.add(LevelAccountProduct, "own price of "+name, x.Product, "", x.Rates, x.stretch())
			}
			for _, x := range d.Packages {
				p.add(LevelAccountPackageProduct, "own price of "+name+" in package "+x.Package, "", x.Package, x.Rates, x.stretch())
			}
		}
	case KindContract:
		var d contractDef
		if err = json.Unmarshal(body, &d); err == nil {
			name, zone := c.account(d.Account)
			p.what, p.zone, p.reach = "contract "+d.ID+" of "+name, zone, Reach{Account: d.Account}
			p.add(LevelContract, p.what, "", "", d.Rates, d.stretch())
		}
	case KindSettings:
		p.what = "catalogue"
	case KindExchangeRates:
		base, date, _ := strings.Cut(ref.ID, "@")
		p.what = "exchange rates of " + date + ", 1 " + base
	}
	if err != nil {
		return p, fmt.Errorf("compare %s %s: %w", ref.Kind, ref.ID, err)
	}
	return p, nil
}

func (c *comparison) compare(change *Change) error {
	var was, is []byte
	if change.Action != ActionCreated {
		was = c.stored.Rows[change.Ref].Body
	}
	if !change.Deleted {
		is = change.Body
	}
	before, err := c.priced(change.Ref, was)
	if err != nil {
		return err
	}
	after, err := c.priced(change.Ref, is)
	if err != nil {
		return err
	}
	switch {
	case was == nil:
		d := Difference{Ref: change.Ref, Text: "new " + after.what}
		if change.Kind == KindAccount || change.Kind == KindContract {
			d.Reach = after.reach
		}
		c.add(d)
	case is == nil:
		c.add(Difference{Ref: change.Ref, Text: before.what + " is deleted", Reach: before.reach})
	default:
		for _, p := range properties(was, is, after.zone) {
			reach := after.reach
			reach.Alone = reach.Account != "" && slices.Contains(ownProperties, p.member)
			c.add(Difference{Ref: change.Ref, Text: after.what + ": " + p.text, Reach: reach})
		}
		if change.Note != "" { // of an account's billing
			c.add(Difference{Ref: change.Ref, Text: after.what + ": " + change.Note, Reach: Reach{Account: change.ID, Alone: true}})
		}
	}
	if is == nil {
		after.zone, after.reach = before.zone, before.reach
	}
	c.prices(change.Ref, &before, &after)
	return nil
}

// prices compares rates slot by slot.
func (c *comparison) prices(ref Ref, before, after *priced) {
	var slots pairing[slot, []pricedRate]
	for _, r := range before.prices {
		p := slots.of(r.slot)
		p.before = append(p.before, r)
	}
	for _, r := range after.prices {
		p := slots.of(r.slot)
		p.after = append(p.after, r)
	}
	for _, p := range slots.list {
		s := p.key
		c.timeline(Difference{Ref: ref, Product: s.product, Level: s.level, Package: s.pkg, Currency: s.currency, Reach: after.reach}, p.before, p.after, after.zone)
	}
}

// pairing is what stands under each key before and after, in the order in which keys come up.
type pairing[K comparable, V any] struct {
	list []*paired[K, V]
	by   map[K]*paired[K, V]
}

type paired[K comparable, V any] struct {
	key           K
	before, after V
}

func (p *pairing[K, V]) of(key K) *paired[K, V] {
	if p.by == nil {
		p.by = map[K]*paired[K, V]{}
	}
	x := p.by[key]
	if x == nil {
		x = &paired[K, V]{key: key}
		p.by[key] = x
		p.list = append(p.list, x)
	}
	return x
}

// answer finds the rate that is in effect at an instant.
func answer(rates []pricedRate, at int64) *rateDef {
	for i := range rates {
		if r := &rates[i]; r.start <= at && at < r.end {
			return r.rate
		}
	}
	return nil
}

// terms is a rate without what says where and when it is.
func terms(r *rateDef) []byte {
	if r == nil {
		return nil
	}
	plain := *r
	plain.ID, plain.Product, plain.Package, plain.Start, plain.End = "", "", "", Bound{}, Bound{}
	text, err := json.Marshal(&plain)
	if err != nil {
		return nil
	}
	return text
}

// timeline tells the stretches of time in which the price of a slot differs; d is what they have in common.
func (c *comparison) timeline(d Difference, before, after []pricedRate, zone *time.Location) {
	cuts := []int64{Always}
	for _, r := range slices.Concat(before, after) {
		cuts = append(cuts, r.start, r.end)
	}
	slices.Sort(cuts)
	type part struct {
		stretch
		was, is       *rateDef
		wasKey, isKey []byte
	}
	var parts []part
	for i, from := range cuts {
		until := int64(Never)
		if i+1 < len(cuts) {
			until = cuts[i+1]
		}
		p := part{stretch: stretch{from, until}, was: answer(before, from), is: answer(after, from)}
		p.wasKey, p.isKey = terms(p.was), terms(p.is)
		if bytes.Equal(p.wasKey, p.isKey) {
			continue
		}
		if n := len(parts); n > 0 && parts[n-1].end == from && bytes.Equal(parts[n-1].wasKey, p.wasKey) && bytes.Equal(parts[n-1].isKey, p.isKey) {
			parts[n-1].end = until
			continue
		}
		parts = append(parts, p)
	}
	name, unit := c.product(d.Product)
	for _, p := range parts {
		where := slices.Concat(after, before)[0].where
		d.From, d.Until = "", ""
		var period []string
		if p.start != Always {
			d.From = instantBound(p.start).in(zone)
			period = append(period, "from "+d.From)
		}
		if p.end != Never {
			d.Until = instantBound(p.end).in(zone)
			period = append(period, "until "+d.Until)
		}
		d.Before, d.After = priceWords(p.was, unit), priceWords(p.is, unit)
		if len(period) > 0 {
			where += ", " + strings.Join(period, " ")
		}
		d.Text = name + ", " + where + ": " + arrow(p.was, p.is, unit)
		c.add(d)
	}
}

// ownProperties of an account concern it alone; others reach those that inherit its prices.
var ownProperties = []string{"name", "identifiers", "terms_days", "class", "late", "cycle", "time_zone", "bill_to"}

type property struct{ member, text string }

// properties tells what but the prices differs.
func properties(was, is []byte, zone *time.Location) (out []property) {
	var before, after map[string]json.RawMessage
	if json.Unmarshal(was, &before) != nil || json.Unmarshal(is, &after) != nil {
		return nil
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, b := before[name], after[name]
		if bytes.Equal(a, b) || name == "billing" { // a note tells of billing
			continue
		}
		var texts []string
		switch name {
		case "products", "packages":
			texts = members(strings.TrimSuffix(name, "s"), a, b, zone)
		case "identifiers", "group_by":
			texts = elements(strings.TrimSuffix(name, "s"), a, b, zone)
		case "rates":
			texts = exchanged(a, b)
		default:
			texts = []string{strings.ReplaceAll(name, "_", " ") + " " + propertyText(a, zone) + " → " + propertyText(b, zone)}
		}
		for _, text := range texts {
			out = append(out, property{name, text})
		}
	}
	return out
}

// propertyText writes a value of a definition without quotes, an instant as the local date that it is.
func propertyText(raw json.RawMessage, zone *time.Location) string {
	var text string
	switch {
	case len(raw) == 0:
		return "(none)"
	case json.Unmarshal(raw, &text) == nil:
		if b, err := parseBound(text); err == nil {
			return b.in(zone)
		}
		return text
	}
	return strings.NewReplacer(`"`, "", "{", "", "}", "", ":", " ", ",", ", ").Replace(string(raw))
}

// members compares lists of products or packages that somebody has, without their rates.
func members(one string, a, b json.RawMessage, zone *time.Location) []string {
	read := func(raw json.RawMessage) (keys []string) {
		var list []map[string]json.RawMessage
		if json.Unmarshal(raw, &list) != nil { // there is none
			return nil
		}
		for _, x := range list {
			text := one + " " + propertyText(x[one], zone)
			for _, name := range []string{"parent", "start", "end"} {
				if x[name] != nil {
					text += " " + map[string]string{"parent": "below", "start": "from", "end": "until"}[name] + " " + propertyText(x[name], zone)
				}
			}
			keys = append(keys, text)
		}
		return keys
	}
	return addedAndGone(read(a), read(b))
}

func elements(one string, a, b json.RawMessage, zone *time.Location) []string {
	read := func(raw json.RawMessage) (keys []string) {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil { // there is none
			return nil
		}
		for _, x := range list {
			keys = append(keys, one+" "+propertyText(x, zone))
		}
		return keys
	}
	return addedAndGone(read(a), read(b))
}

func addedAndGone(before, after []string) (out []string) {
	for _, x := range before {
		if !slices.Contains(after, x) {
			out = append(out, "no longer "+x)
		}
	}
	for _, x := range after {
		if !slices.Contains(before, x) {
			out = append(out, "now "+x)
		}
	}
	return out
}

// newExchangeRates tells of days that are new, all of a base together: a file may bring thousands.
func (c *comparison) newExchangeRates(changes []Change) {
	days := map[string][]string{}
	for i := range changes {
		if ch := &changes[i]; ch.Kind == KindExchangeRates && ch.Action == ActionCreated {
			base, date, _ := strings.Cut(ch.ID, "@")
			days[base] = append(days[base], date)
		}
	}
	for _, base := range slices.Sorted(maps.Keys(days)) {
		list := days[base]
		first, last := slices.Min(list), slices.Max(list)
		text := fmt.Sprintf("new exchange rates of %s: %d days from %s to %s", base, len(list), first, last)
		if len(list) == 1 {
			text = "new exchange rates of " + base + ": " + first
		}
		c.add(Difference{Ref: Ref{KindExchangeRates, base + "@" + first}, Text: text})
	}
}

// exchanged compares the rates of a day; lists are the rates of a product, of which prices tell.
func exchanged(a, b json.RawMessage) (out []string) {
	var before, after map[string]string
	if json.Unmarshal(a, &before) != nil || json.Unmarshal(b, &after) != nil {
		return nil
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before[name]
		is, has := after[name]
		switch {
		case was == is:
		case !had:
			out = append(out, "now "+is+" "+name)
		case !has:
			out = append(out, "no longer "+was+" "+name)
		default:
			out = append(out, was+" → "+is+" "+name)
		}
	}
	return out
}
