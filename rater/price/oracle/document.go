package oracle

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
)

// word is written as it is: a name or a number. A string is written in quotes.
type word string

// object keeps the order of its members; absent ones have a nil value.
type object []member

type member struct {
	name  string
	value any
}

type list []any

// write renders a value on one line, as JSON or as YAML's flow style, which differs in its keys and words.
func write(b *strings.Builder, v any, json bool) {
	switch v := v.(type) {
	case word:
		_, number := new(big.Rat).SetString(string(v))
		if json && !number && v != "true" && v != "false" && v != "null" {
			b.WriteString(strconv.Quote(string(v)))
			return
		}
		b.WriteString(string(v))
	case string:
		b.WriteString(strconv.Quote(v))
	case list:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, e, json)
		}
		b.WriteByte(']')
	case object:
		b.WriteByte('{')
		first := true
		for _, m := range v {
			if m.value == nil {
				continue
			}
			if !first {
				b.WriteString(", ")
			}
			first = false
			if json {
				b.WriteString(strconv.Quote(m.name))
			} else {
				b.WriteString(m.name)
			}
			b.WriteString(": ")
			write(b, m.value, json)
		}
		b.WriteByte('}')
	default:
		panic(fmt.Sprintf("oracle: cannot write a %T", v))
	}
}

// number is an exact decimal; nil stays nil.
func number(x *big.Rat) any {
	if x == nil {
		return nil
	}
	return word(Decimal(x))
}

// Decimal is a number of at most 12 decimals, without zeros behind.
func Decimal(x *big.Rat) string {
	s := strings.TrimRight(x.FloatString(decimals), "0")
	return strings.TrimSuffix(s, ".")
}

func when[T any](holds bool, v T) any {
	if holds {
		return v
	}
	return nil
}

// named is a word, nil when it is empty.
func named(s string) any { return when(s != "", word(s)) }

func instant(t time.Time) any { return when(!t.IsZero(), t.Format(time.RFC3339)) }

// all is a list with a value for each, nil when there are none.
func all[T any](of []T, value func(T) any) any {
	var l list
	for _, e := range of {
		l = append(l, value(e))
	}
	return when(len(l) > 0, l)
}

// expression is the formula as the catalogue writes it.
func (f *Formula) expression() string {
	if f == nil {
		return ""
	}
	units := "quantity * " + Decimal(f.Then)
	if f.Group != "" {
		units = fmt.Sprintf("(group.%s == %q ? %s : quantity * %s)", f.Group, f.Value, units, Decimal(f.Else))
	}
	return units + " + events * " + Decimal(f.Events) + " + days * " + Decimal(f.Days)
}

// node is a rate as the catalogue writes it.
func (r *Rate) node() object {
	return append(object{
		{"model", word(r.Model)}, {"start", instant(r.Start)}, {"end", instant(r.End)},
		// The rates of a capacity are one rate on several products, and say so.
		{"id", when(r.Model == capacity, word("shared-"+r.Start.Format("20060102T15")))},
	}, r.members()...)
}

// members are what follows the model.
func (r *Rate) members() object {
	o := object{
		{"aggregation", named(r.Aggregation)}, {"attribute", named(r.Attribute)}, {"level", named(r.Level)},
	}
	if q := r.Rounding; q != nil {
		rounds := q.Mode != ""
		o = append(o, member{"rounding", object{
			{"mode", named(q.Mode)}, {"precision", when(rounds, word(strconv.Itoa(q.Precision)))},
			{"on", when(rounds && q.OnEvent, word("event"))}, {"first", number(q.First)}, {"next", number(q.Next)},
		}})
	}
	o = append(o, object{
		{"amount", number(r.Amount)}, {"unit_price", number(r.UnitPrice)}, {"expression", when(r.Formula != nil, r.Formula.expression())},
		{"size", number(r.Size)}, {"price", number(r.Price)}, {"free", number(r.Free)},
		{"rate", number(r.Percent)}, {"fixed", number(r.Fixed)},
		{"free_events", when(r.FreeEvents > 0, word(strconv.Itoa(r.FreeEvents)))},
		{"free_amount", number(r.FreeAmount)}, {"min", number(r.Min)}, {"max", number(r.Max)},
		{"tiers", all(r.Tiers, func(t Tier) any { return t.node() })},
		{"included", number(r.Included)}, {"minimum", number(r.Minimum)}, {"maximum", number(r.Maximum)},
		{"bounds", when(r.HalfOpen, word("half_open"))}, {"zero_usage_flat", when(r.ZeroFlat, word("charge"))},
		{"split", when(r.WholeEvent, word("false"))}, {"prorate", when(r.ProrateDay, word("day"))},
		{"tiers_restart", when(r.Restart, word("true"))}, {"pool", named(r.Pool)},
		{"dimensions", all(r.Dimensions, func(d Dimension) any { return d.node() })},
		{"prices", all(r.Entries, func(e Entry) any { return r.entry(e) })},
	}...)
	if r.Default != nil {
		o = append(o, member{"default", r.Default.node()})
	}
	return o
}

func (t *Tier) node() object {
	o := object{
		{"up_to", number(t.UpTo)}, {"unit_price", number(t.UnitPrice)}, {"rate", number(t.Percent)}, {"flat_price", number(t.Flat)},
		{"block_size", number(t.BlockSize)}, {"max_blocks", number(t.MaxBlocks)}, {"price", number(t.Price)},
	}
	if t.Limits != nil {
		var limits object
		for _, product := range slices.Sorted(maps.Keys(t.Limits)) {
			limits = append(limits, member{product, number(t.Limits[product])})
		}
		o = append(o, member{"limits", limits})
	}
	return o
}

func (d *Dimension) node() any {
	if d.By == "" && d.From == "" {
		return word(d.Name)
	}
	return object{{"name", word(d.Name)}, {"from", named(d.From)}, {"by", named(d.By)}}
}

func (r *Rate) entry(e Entry) object {
	var match object
	for _, d := range r.Dimensions {
		if m, ok := e.Match[d.Name]; ok {
			match = append(match, member{d.Name, m.node(d.By)})
		}
	}
	return append(object{{"match", match}}, e.Rate.node()...)
}

func (m *Match) node(by string) any {
	switch by {
	case "range":
		return object{{"from", number(m.From)}, {"to", number(m.To)}}
	case "time_of_day":
		return object{{"from", clock(m.FromMinute)}, {"to", clock(m.ToMinute)}}
	case "weekday":
		if strings.Join(m.Values, " ") == "mon tue wed thu fri" {
			return "mon-fri"
		}
		return all(m.Values, func(v string) any { return word(v) })
	}
	if len(m.Values) == 1 {
		return m.Values[0]
	}
	return all(m.Values, func(v string) any { return v })
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// Document is the catalogue of the case in YAML, DocumentJSON in JSON.
func (c *Case) Document() string { return c.document(false) }

// DocumentJSON is Document in JSON.
func (c *Case) DocumentJSON() string { return c.document(true) }

const currency = word("USD")

func (c *Case) document(json bool) string {
	var b strings.Builder
	section := func(name string, elements []object) {
		if len(elements) == 0 {
			return
		}
		if json {
			fmt.Fprintf(&b, ",\n%q: [", name)
		} else {
			fmt.Fprintf(&b, "%s:\n", name)
		}
		for i, e := range elements {
			switch {
			case !json:
				b.WriteString("  - ")
			case i > 0:
				b.WriteString(",\n")
			}
			write(&b, e, json)
			if !json {
				b.WriteByte('\n')
			}
		}
		if json {
			b.WriteString("]")
		}
	}
	if json {
		b.WriteString("{\"currency\": \"" + string(currency) + "\"")
	} else {
		b.WriteString("currency: " + string(currency) + "\n")
	}
	var products, packages, accounts []object
	for _, p := range c.Products {
		products = append(products, object{
			{"id", word(p)}, {"name", word(p)}, {"unit", word("unit")},
			{"group_by", all(c.GroupBy, func(s string) any { return word(s) })},
			{"rates", all(c.Rates, func(r Rate) any { return r.node() })},
		})
	}
	for _, p := range c.Packages {
		packages = append(packages, object{
			{"id", word(p)}, {"products", all(c.Products, func(s string) any { return object{{"product", word(s)}} })},
		})
	}
	for i, a := range c.Accounts {
		accounts = append(accounts, object{
			{"id", word(a)}, {"name", word(a)},
			{"parent", when(i > 0, word(c.Accounts[0]))}, {"bill_to", when(i > 0, word("parent"))},
			{"currency", currency}, {"time_zone", c.Usage.Zone.String()},
			{"cycle", object{{"every", word("monthly")}, {"anchor_day", word("1")}}},
			{"packages", all(c.Packages, func(s string) any {
				return object{{"package", word(s)}, {"start", c.Usage.Start.AddDate(-1, 0, 0).Format(time.DateOnly)}}
			})},
		})
	}
	section("products", products)
	section("packages", packages)
	section("accounts", accounts)
	if json {
		b.WriteString("}\n")
	}
	return b.String()
}

// lines writes a JSON array with one element a line.
func lines(elements []object) string {
	var b strings.Builder
	b.WriteString("[")
	for i, e := range elements {
		if i > 0 {
			b.WriteString(",\n ")
		}
		write(&b, e, true)
	}
	b.WriteString("]\n")
	return b.String()
}

func attributes(m map[string]string) any {
	var o object
	for _, name := range slices.Sorted(maps.Keys(m)) {
		o = append(o, member{name, m[name]})
	}
	return when(len(o) > 0, o)
}

// EventsJSON are the events in log order, as POST /v1/usage takes them.
func (c *Case) EventsJSON() string {
	var events []object
	for _, e := range c.Events {
		events = append(events, object{
			{"id", e.ID}, {"source", "oracle"}, {"account", e.Account}, {"product", e.Product},
			{"package", when(e.Package != "", e.Package)}, {"time", e.Time.UTC().Format(time.RFC3339Nano)},
			{"quantity", Decimal(e.Quantity)},
			{"amount", when(e.Amount != nil, Decimal(or(e.Amount)))}, {"currency", when(e.Amount != nil, string(currency))},
			{"attributes", attributes(e.Attributes)},
		})
	}
	return lines(events)
}

// ExpectedJSON are the expected lines in the shape of the current invoice's, and the rejected events.
func (c *Case) ExpectedJSON() string {
	x := c.Expected()
	var of []object
	for _, l := range x.Lines {
		of = append(of, object{
			{"usage_account", l.Account}, {"product", l.Product}, {"package", when(l.Package != "", l.Package)},
			{"attributes", attributes(l.Attributes)}, {"events", word(strconv.Itoa(l.Events))}, {"amount", l.Amount.FloatString(decimals)},
		})
	}
	for _, r := range x.Rejected {
		of = append(of, object{{"rejected", r.ID}, {"reason", r.Reason}})
	}
	if x.Beyond != "" {
		of = append(of, object{{"out_of_scope", x.Beyond}})
	}
	return lines(of)
}
