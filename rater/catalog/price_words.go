package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// priceWords says in one line what a rate charges; empty: there is none.
func priceWords(d *rateDef, unit string) string {
	if d == nil {
		return ""
	}
	return strings.Join(append([]string{modelWords(d, unit, d.Currency)}, limitWords(d)...), ", ")
}

// limitWords tell what holds for a price of any model.
func limitWords(d *rateDef) (words []string) {
	if d.Included.Sign() > 0 {
		words = append(words, d.Included.String()+" included")
	}
	if d.Maximum.Sign() > 0 {
		words = append(words, "at most "+withCurrency(d.Maximum, d.Currency))
	}
	if d.Minimum.Sign() > 0 {
		words = append(words, "at least "+withCurrency(d.Minimum, d.Currency))
	}
	if d.Pool != "" && Model(d.Model) != ModelCapacity {
		words = append(words, poolWords[Pool(d.Pool)])
	}
	return words
}

// poolWords say whose usage a rate adds up.
var poolWords = map[Pool]string{
	PoolAccount: "for all that an account uses together",
	PoolPackage: "for all accounts inside the package together",
	PoolInvoice: "for all accounts on one invoice together",
}

func withCurrency(v money.Decimal, currency string) string {
	return strings.TrimSuffix(amountText(v, currency)+" "+currency, " ")
}

func modelWords(d *rateDef, unit, currency string) string {
	price := func(v money.Decimal) string { return withCurrency(v, currency) }
	each := unit
	if each == "" {
		each = "unit"
	}
	switch Model(d.Model) {
	case ModelFlat:
		return price(orZero(d.Amount)) + " once there is usage"
	case ModelPerUnit:
		return price(orZero(d.UnitPrice)) + " per " + each
	case ModelPackage:
		text := price(orZero(d.Price)) + " per started " + orZero(d.Size).String() + " " + each
		if d.Free.Sign() > 0 {
			text += " after the first " + d.Free.String()
		}
		return text
	case ModelGraduated, ModelVolume, ModelGraduatedPercentage, ModelBlockGraduated, ModelBlockVolume:
		return tierWords(d, each, currency)
	case ModelPercentage:
		text := orZero(d.Rate).String() + " %"
		if !d.Fixed.IsZero() {
			text += " + " + price(d.Fixed)
		}
		if d.Min != nil {
			text += ", at least " + price(*d.Min)
		}
		if d.Max != nil {
			text += ", at most " + price(*d.Max)
		}
		if d.FreeEvents > 0 {
			text += fmt.Sprintf(", %d events free", d.FreeEvents)
		}
		if d.FreeAmount.Sign() > 0 {
			text += ", " + price(d.FreeAmount) + " free"
		}
		return text
	case ModelDynamic:
		return "the amount of each event"
	case ModelMatrix:
		names := make([]string, len(d.Dimensions))
		for i := range d.Dimensions {
			names[i] = d.Dimensions[i].Name
		}
		return fmt.Sprintf("%d prices by %s", len(d.Prices), strings.Join(names, ", "))
	case ModelCapacity:
		return capacityWords(d, currency)
	case ModelFormula:
		return "formula " + d.Expression
	case ModelCustom:
		text := "method " + d.Method
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(d.Parameters)) {
			parts = append(parts, name+" "+d.Parameters[name])
		}
		if len(parts) > 0 {
			text += " with " + strings.Join(parts, ", ")
		}
		return text
	}
	return strings.ReplaceAll(d.Model, "_", " ")
}

// tierWords writes tiers as 0.10 EUR per request up to 100, then 0.05.
func tierWords(d *rateDef, each, currency string) string {
	var parts []string
	bound := "up to"
	if d.Bounds == boundsHalfOpen {
		bound = "below"
	}
	for i := range d.Tiers {
		t := &d.Tiers[i]
		var text string
		switch {
		case t.BlockSize != nil:
			text = withCurrency(orZero(t.Price), currency) + " per started " + t.BlockSize.String() + " " + each
			if t.MaxBlocks != nil {
				text += ", " + t.MaxBlocks.String() + " times"
			}
		case t.Rate != nil:
			text = t.Rate.String() + " %"
		case i == 0:
			text = withCurrency(t.UnitPrice, currency) + " per " + each
		default:
			text = amountText(t.UnitPrice, currency)
		}
		if !t.FlatPrice.IsZero() {
			text += " + " + withCurrency(t.FlatPrice, currency)
		}
		if t.UpTo != nil {
			text += " " + bound + " " + t.UpTo.String()
		}
		parts = append(parts, text)
	}
	text := strings.Join(parts, ", then ")
	if Model(d.Model) == ModelVolume || Model(d.Model) == ModelBlockVolume {
		text = "all at " + text
	}
	return text
}

// capacityWords writes tiers as 50.00 EUR up to 10 seats and 5 gigabytes, then 90.00.
func capacityWords(d *rateDef, currency string) string {
	var parts []string
	for i := range d.Tiers {
		t := &d.Tiers[i]
		text := amountText(orZero(t.Price), currency)
		if i == 0 {
			text = withCurrency(orZero(t.Price), currency)
		}
		var limits []string
		for _, product := range slices.Sorted(maps.Keys(t.Limits)) {
			limits = append(limits, t.Limits[product].String()+" "+product)
		}
		if len(limits) > 0 {
			text += " up to " + strings.Join(limits, " and ")
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", then ")
}

// arrow writes a change of a price as shortly as it can be said.
func arrow(was, is *rateDef, unit string) string {
	a, b := priceWords(was, unit), priceWords(is, unit)
	switch {
	case was == nil:
		return b + " (new)"
	case is == nil:
		return a + " → the next level's price"
	}
	var parts []string
	if Model(was.Model) == ModelMatrix && was.Model == is.Model {
		if text := matrixArrow(was, is, unit); text != "" {
			parts = append(parts, text)
		}
		if before, after := orNone(limitWords(was)), orNone(limitWords(is)); before != after {
			parts = append(parts, before+" → "+after)
		}
	} else if a != b {
		parts = append(parts, shortest(a, b))
	}
	rest := otherTerms(was, is, len(parts) == 0)
	if len(parts) == 0 {
		parts = append(parts, a)
	}
	return strings.Join(append(parts, rest...), ", ")
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "(none)"
	}
	return strings.Join(words, ", ")
}

// shortest leaves out of the first text the end that both have: 0.10 → 0.08 EUR per request.
func shortest(a, b string) string {
	first, rest, _ := strings.Cut(a, " ")
	other, rest2, _ := strings.Cut(b, " ")
	if rest == rest2 {
		return first + " → " + other + " " + rest
	}
	return a + " → " + b
}

// worded are the members of a rate that the words above speak of.
var worded = []string{
	"model", "currency", "amount", "unit_price", "tiers", "size", "price", "free", "rate", "fixed", "free_events", "free_amount", "min", "max", "expression", "method",
	"parameters", "prices", "default", "included", "maximum", "minimum", "pool", "bounds",
}

// otherTerms tells members that differ and, unless all are asked for, that no words above speak of.
func otherTerms(was, is *rateDef, all bool) (out []string) {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(terms(was), &a) != nil || json.Unmarshal(terms(is), &b) != nil {
		return nil
	}
	names := maps.Clone(a)
	maps.Copy(names, b)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name == "dimensions" && was.Model != is.Model { // what is there now says its name
			continue
		}
		if (all || !slices.Contains(worded, name)) && !bytes.Equal(a[name], b[name]) {
			out = append(out, strings.ReplaceAll(name, "_", " ")+" "+propertyText(a[name], time.UTC)+" → "+propertyText(b[name], time.UTC))
		}
	}
	return out
}

// mostEntries bounds how many prices of a matrix are told one by one.
const mostEntries = 5

// matrixArrow tells which prices of a matrix change; empty: it is not the prices.
func matrixArrow(was, is *rateDef, unit string) string {
	var entries pairing[string, *rateDef]
	each := func(d *rateDef, into func(key string, r *rateDef)) {
		for _, e := range d.Prices {
			r := e.rateDef
			r.Currency = d.Currency
			into(matchWords(d, e), &r)
		}
		if d.Default != nil {
			r := d.Default.rateDef
			r.Currency = d.Currency
			into("everything else", &r)
		}
	}
	each(was, func(key string, r *rateDef) { entries.of(key).before = r })
	each(is, func(key string, r *rateDef) { entries.of(key).after = r })
	var out []string
	more := 0
	for _, p := range entries.list {
		if bytes.Equal(terms(p.before), terms(p.after)) {
			continue
		}
		if len(out) == mostEntries {
			more++
			continue
		}
		text := arrow(p.before, p.after, unit)
		if p.after == nil {
			text = priceWords(p.before, unit) + " → no price"
		}
		out = append(out, p.key+": "+text)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("and %d more prices", more))
	}
	return strings.Join(out, "; ")
}

// matchWords writes a match as region eu, size 0 to 10.
func matchWords(d *rateDef, e *entryDef) string {
	var parts []string
	for i := range d.Dimensions {
		name := d.Dimensions[i].Name
		c, named := e.Match[name]
		switch {
		case !named:
		case c.values != nil:
			parts = append(parts, name+" "+strings.Join(c.values, " or "))
		case c.from == "":
			parts = append(parts, name+" below "+c.to)
		case c.to == "":
			parts = append(parts, name+" from "+c.from)
		default:
			parts = append(parts, name+" "+c.from+" to "+c.to)
		}
	}
	return strings.Join(parts, ", ")
}
