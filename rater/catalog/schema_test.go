package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	content, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("catalog.json", content); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("catalog.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// plain gives a document as an editor sees it: what is written without quotes is a number where it is one.
func (n *node) plain() any {
	switch n.form {
	case nodePlain:
		if n.text == "true" || n.text == "false" || jsonNumber.MatchString(n.text) {
			return n.any()
		}
		return n.text
	case nodeList:
		list := []any{}
		for _, item := range n.items {
			list = append(list, item.plain())
		}
		return list
	case nodeObject:
		object := map[string]any{}
		for i, key := range n.keys {
			object[key.text] = n.items[i].plain()
		}
		return object
	}
	return n.any()
}

// TestSchemaTakesWhatIsTaken: every document of the tests that the reader takes is valid.
func TestSchemaTakesWhatIsTaken(t *testing.T) {
	s := compiledSchema(t)
	documents := map[string]string{"whole": whole, "resolve": resolveBook, "every model": everyModel}
	if _, err := ParseDocument("every model", []byte(everyModel)); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"testdata/*.yaml", "testdata/lint/*.yaml"} {
		paths, err := filepath.Glob(filepath.FromSlash(pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			documents[path] = string(data)
		}
	}
	taken := 0
	for name, text := range documents {
		if _, err := ParseDocument(name, []byte(text)); err != nil {
			continue
		}
		taken++
		n, err := parseNodes(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(n.plain()); err != nil {
			t.Errorf("%s is taken by the reader and refused by the schema: %v", name, err)
		}
	}
	if taken < 10 {
		t.Errorf("only %d documents", taken)
	}
}

// everyModel has each member of a rate somewhere, each thing that may be left out left out or null somewhere.
const everyModel = `
currency: null
seller: null
products:
  - id: 42
    name: null
    unit: "%"
    kind: usage
    identifiers: [7, a]
    group_by: [region]
    provisioned_only: false
    tax_code: X
    rates:
      - {id: r-1, model: flat, amount: 1e2, currency: EUR, start: 2026-01-01, end: 2026-01-02T10:00:00.5+01:00, minimum: ".5", minimum_prorated: true, maximum: 7, pool: line}
      - {model: per_unit, unit_price: "+1", currency: USD, aggregation: time_weighted, level: change, rounding: {mode: ceil, precision: "-2", on: event}, tiers_restart: true}
      - {model: graduated, tiers: [{up_to: 1, unit_price: 1, flat_price: 2}, {unit_price: null}], currency: GBP, bounds: half_open, zero_usage_flat: charge, included: 5, prorate: day}
      - {model: graduated, split: false, tiers: [{unit_price: 1}], currency: CHF, rounding: {first: 60, next: 1}}
      - {model: volume, tiers: [{unit_price: 1}], currency: SEK, aggregation: max}
      - {model: package, size: 10, price: 1, free: 5, currency: NOK, aggregation: latest}
      - {model: block_graduated, tiers: [{block_size: 10, max_blocks: 2, price: 1}, {block_size: 1, price: 1}], currency: DKK}
      - {model: block_volume, tiers: [{block_size: 10, price: 1}], currency: PLN, aggregation: count}
      - {model: percentage, rate: 1.5, fixed: 0.3, free_events: 5, free_amount: 1, min: 0, max: 1, currency: JPY}
      - {model: graduated_percentage, tiers: [{up_to: 1, rate: 1, flat_price: 1}, {rate: 2}], currency: CZK}
      - {model: dynamic, currency: HUF}
      - {id: cap-1, model: capacity, pool: account, currency: BRL, tiers: [{price: 1, limits: {"42": 5, other: 7.5}}, {price: 2}]}
      - model: matrix
        currency: RON
        dimensions: [region, {name: dest, from: to, by: prefix}, {name: size, by: range}, {name: hour, by: time_of_day}, {name: day, by: weekday}]
        prices:
          - {match: {region: eu, dest: ["49", 33], size: {from: 0, to: "10"}, hour: {from: "22:00", to: 06:00}, day: mon-fri}, model: flat, amount: 1}
          - {match: {region: 7, size: {to: 10}, day: [sat, sun]}, model: graduated, tiers: [{unit_price: 1}], included: 1, maximum: 4}
        default: {model: dynamic}
rate_classes: [{id: gold, name: G, rates: [{product: 42, model: dynamic, currency: EUR}]}]
packages: [{id: p, name: P, products: [{product: 42, parent: null, rates: []}]}]
accounts:
  - {id: "a(b)", currency: EUR}
  - id: "+49(30)"
    name: A
    parent: null
    bill_to: self
    inherit_pricing: true
    currency: EUR
    time_zone: Europe/Berlin
    cycle: {every: weekly, anchor_day: 7}
    terms_days: 0
    class: x
    late: reject
    identifiers: [1, {value: x, start: 2026-01-01, end: 2027-01-01}]
    products: [{product: 42, start: 2026-01-01, end: null, rates: [{model: dynamic}]}]
    packages: [{package: p, start: 2026-01-01, rates: [{product: 42, model: dynamic}]}]
contracts: [{id: c, account: "+49(30)", start: 2026-01-01, end: 2027-01-01, rate_class: gold, rates: [{product: 42, package: p, model: dynamic}]}]
exchange_rates: [{base: EUR, date: 2026-11-20, rates: {USD: 1.1592}}]
delete: [{kind: product, id: old}]
`

// objectPlace is an object of a document: how a document with one member of it looks, and what else the object needs.
type objectPlace struct{ name, document string }

// MEMBERS is where the members of the object stand.
var objectPlaces = []objectPlace{
	{"document", `{MEMBERS}`},
	{"seller", `{"seller":{MEMBERS}}`},
	{"product", `{"products":[{MEMBERS}]}`},
	{"rate_class", `{"rate_classes":[{MEMBERS}]}`},
	{"package", `{"packages":[{MEMBERS}]}`},
	{"package_product", `{"packages":[{"id":"x","products":[{MEMBERS}]}]}`},
	{"account", `{"accounts":[{MEMBERS}]}`},
	{"identifier", `{"accounts":[{"id":"x","identifiers":[{MEMBERS}]}]}`},
	{"cycle", `{"accounts":[{"id":"x","cycle":{MEMBERS}}]}`},
	{"provisioned_product", `{"accounts":[{"id":"x","products":[{MEMBERS}]}]}`},
	{"provisioned_package", `{"accounts":[{"id":"x","packages":[{MEMBERS}]}]}`},
	{"contract", `{"contracts":[{MEMBERS}]}`},
	{"exchange_rates", `{"exchange_rates":[{MEMBERS}]}`},
	{"delete", `{"delete":[{MEMBERS}]}`},
	{"rate", `{"products":[{"id":"x","rates":[{MEMBERS}]}]}`},
	{"product_rate", `{"rate_classes":[{"id":"x","rates":[{MEMBERS}]}]}`},
	{"contract_rate", `{"contracts":[{"id":"x","account":"x","rates":[{MEMBERS}]}]}`},
	{"tier", `{"products":[{"id":"x","rates":[{"model":"graduated","tiers":[{MEMBERS}]}]}]}`},
	{"rounding", `{"products":[{"id":"x","rates":[{"model":"dynamic","rounding":{MEMBERS}}]}]}`},
	{"dimension", `{"products":[{"id":"x","rates":[{"model":"matrix","dimensions":[{MEMBERS}]}]}]}`},
	{"entry", `{"products":[{"id":"x","rates":[{"model":"matrix","dimensions":["d"],"prices":[{MEMBERS}]}]}]}`},
	{"default_entry", `{"products":[{"id":"x","rates":[{"model":"matrix","dimensions":["d"],"default":{MEMBERS}}]}]}`},
}

func (o objectPlace) with(members string) string {
	return strings.Replace(o.document, "MEMBERS", members, 1)
}

// said gives what the reader says of the document.
func said(t *testing.T, text string) []Issue {
	t.Helper()
	_, err := ParseDocument("x.json", []byte(text))
	var issues *Issues
	if err != nil && !errors.As(err, &issues) {
		t.Fatalf("%s: %v", text, err)
	}
	if issues == nil {
		return nil
	}
	return issues.List
}

// members asks the reader which members an object has.
func (o objectPlace) members(t *testing.T) []string {
	t.Helper()
	for _, i := range said(t, o.with(`"no such member":1`)) {
		if _, list, ok := strings.Cut(i.Message, "is not known here"); ok && strings.HasSuffix(i.Path, "no such member") {
			_, list, _ = strings.Cut(list, "known are ")
			return strings.Split(list, ", ")
		}
	}
	t.Fatalf("%s: the reader knows every member", o.name)
	return nil
}

// inSchema lists the members that the schema knows of an object.
func (o objectPlace) inSchema(t *testing.T) map[string]bool {
	t.Helper()
	type object struct {
		Properties map[string]json.RawMessage `json:"properties"`
		AllOf      []struct {
			Ref string `json:"$ref"`
		} `json:"allOf"`
	}
	var schema struct {
		object
		Defs map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	var collect func(x object)
	collect = func(x object) {
		for name := range x.Properties {
			has[name] = true
		}
		for _, a := range x.AllOf {
			if a.Ref == "" {
				continue
			}
			var part object
			if err := json.Unmarshal(schema.Defs[strings.TrimPrefix(a.Ref, "#/$defs/")], &part); err != nil {
				t.Fatalf("%s: %v", a.Ref, err)
			}
			collect(part)
		}
	}
	if o.name == "document" {
		collect(schema.object)
		return has
	}
	var own object
	if err := json.Unmarshal(schema.Defs[o.name], &own); err != nil {
		t.Fatalf("%s: %v", o.name, err)
	}
	collect(own)
	return has
}

// TestSchemaHasTheMembersOfTheReader: in every object, the members that the schema knows are those that the reader takes.
func TestSchemaHasTheMembersOfTheReader(t *testing.T) {
	for _, o := range objectPlaces {
		has := o.inSchema(t)
		for _, name := range o.members(t) {
			refused := slices.ContainsFunc(said(t, o.with(fmt.Sprintf("%q:1", name))), func(i Issue) bool {
				return strings.HasSuffix(i.Path, name) && (strings.HasPrefix(i.Message, "is not supported by this version") ||
					strings.Contains(i.Message, "holds for all entries") || strings.Contains(i.Message, "has no meaning: the default"))
			})
			if refused == has[name] {
				t.Errorf("%s: the schema has the member %s: %v, the reader refuses it: %v", o.name, name, has[name], refused)
			}
			delete(has, name)
		}
		for name := range has {
			t.Errorf("%s: the schema has the member %s, which the reader does not know", o.name, name)
		}
	}
}

// TestSchemaRefusesWrongTypes tries values of every type for every member: one that the schema refuses for its type is refused by
// the reader too, and the other way about.
func TestSchemaRefusesWrongTypes(t *testing.T) {
	s := compiledSchema(t)
	tried := 0
	for _, o := range objectPlaces {
		has := o.inSchema(t)
		for _, name := range append(o.members(t), "no such member") {
			for _, value := range []string{"[]", "{}", "true", "5", "-7", "1.5", `"§"`, `""`, `"2026-01-01"`, `"EUR"`, `[{}]`, `["x"]`, `[null]`, `[[]]`, `{"zzz":1}`, "null"} {
				switch {
				case value == "null" && !has[name]: // as if it were left out
					continue
				case name == "match" && value == `{"zzz":1}`, // only the dimensions tell
					name == "identifiers" && value == "[{}]": // its value is looked for when the document is applied
					continue
				}
				text := o.with(fmt.Sprintf("%q:%s", name, value))
				n, err := parseNodes("x.json", []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				var wrong []string
				byReader := false
				for _, i := range said(t, text) {
					if at := strings.LastIndex(i.Path, "."+name); at >= 0 || i.Path == name || strings.HasPrefix(i.Path, name+"[") || strings.HasPrefix(i.Path, name+".") {
						wrong = append(wrong, i.String())
						byReader = byReader || ofType(i.Message)
					}
				}
				bySchema := refusesAt(s.Validate(n.plain()), name, has[name])
				tried++
				if byReader && !bySchema {
					t.Errorf("%s: the schema takes %s: %s; the reader says %v", o.name, name, value, wrong)
				}
				if bySchema && len(wrong) == 0 {
					t.Errorf("%s: the schema refuses %s: %s, the reader takes it", o.name, name, value)
				}
			}
		}
	}
	if tried < 2000 {
		t.Errorf("only %d values tried", tried)
	}
}

// TestSchemaHasTheWordsOfTheReader: where the reader takes one of several words, the schema takes each of them.
func TestSchemaHasTheWordsOfTheReader(t *testing.T) {
	s := compiledSchema(t)
	words := 0
	for _, o := range objectPlaces {
		for _, name := range o.members(t) {
			for _, i := range said(t, o.with(fmt.Sprintf("%q:%q", name, "§"))) {
				_, list, ok := strings.Cut(i.Message, "must be one of ")
				list, _, _ = strings.Cut(list, ", not ")
				if !ok || !strings.HasSuffix(i.Path, name) {
					continue
				}
				for _, word := range strings.Split(list, ", ") {
					words++
					n, err := parseNodes("x.json", []byte(o.with(fmt.Sprintf("%q:%q", name, word))))
					if err != nil {
						t.Fatal(err)
					}
					entry := strings.Contains(o.name, "entry") && (word == "matrix" || word == "capacity") // refused by other words
					if !entry && refusesAt(s.Validate(n.plain()), name, true) {
						t.Errorf("%s: the schema refuses %s: %s", o.name, name, word)
					}
				}
			}
		}
	}
	if words < 100 {
		t.Errorf("only %d words", words)
	}
}

// ofType says whether a refusal is one of the value's type or of an unknown member.
func ofType(message string) bool {
	for _, begin := range []string{
		"must be an object", "must be a list", "must be text", "must be a number", "must be true or false", "is not known here", "must be one of",
		"must be a whole number, not", "must be a date or an instant, not", "must be an id, not", "must be a currency, not", "must be a model, not", "must be an aggregation, not",
	} {
		if strings.HasPrefix(message, begin) {
			return true
		}
	}
	return false
}

// refusesAt says whether the schema objects to the member or what is below it.
func refusesAt(err error, name string, known bool) bool {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return false
	}
	var at func(v *jsonschema.ValidationError) bool
	at = func(v *jsonschema.ValidationError) bool {
		switch k := v.ErrorKind.(type) {
		case *kind.Required: // the reader looks for ids and references when the document is applied
			return false
		case *kind.AnyOf:
			meant := slices.DeleteFunc(slices.Clone(v.Causes), func(c *jsonschema.ValidationError) bool { // of another type than what is written
				_, is := c.ErrorKind.(*kind.Type)
				return is && slices.Equal(c.InstanceLocation, v.InstanceLocation)
			})
			if len(meant) > 0 {
				return slices.ContainsFunc(meant, at)
			}
		case *kind.FalseSchema: // it has not been looked at, because something below it is wrong or it is not known
			at := v.InstanceLocation
			return slices.Contains(at, name) && (!known || at[len(at)-1] != name)
		case *kind.AdditionalProperties:
			if slices.Contains(k.Properties, name) {
				return true
			}
		}
		if len(v.Causes) > 0 {
			return slices.ContainsFunc(v.Causes, at)
		}
		return slices.Contains(v.InstanceLocation, name)
	}
	return at(v)
}
