package rater

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

// exampleNow is after the usage of every example.
var exampleNow = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC).UnixNano()

// priceExample is an example of price/README.md.
type priceExample struct {
	Rate    yaml.Node
	Rates   yaml.Node
	GroupBy []string `yaml:"group_by"`
	Usage   []exampleEvent
	Charges []string
}

type exampleEvent struct {
	Quantity   string
	Amount     string
	Time       time.Time
	Attributes map[string]string
}

// UnmarshalYAML also takes a quantity alone.
func (e *exampleEvent) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		e.Quantity = n.Value
		return nil
	}
	type whole exampleEvent
	return n.Decode((*whole)(e))
}

func (e *exampleEvent) event(i int) usage.Event {
	out := usage.Event{
		ID: fmt.Sprintf("e-%d", i), Source: "readme", Account: "a", RoutingKey: "a", Product: "p", Quantity: money.FromInt(1),
		Time: time.Date(2026, 1, 1, i, 0, 0, 0, time.UTC).UnixNano(), Hash: uint64(i),
	}
	if e.Quantity != "" {
		out.Quantity = money.MustParse(e.Quantity)
	}
	if e.Amount != "" {
		out.HasAmount, out.Amount, out.Currency = true, money.MustParse(e.Amount), "EUR"
	}
	if !e.Time.IsZero() {
		out.Time = e.Time.UnixNano()
	}
	for name, value := range e.Attributes {
		out.Attributes = append(out.Attributes, usage.Attribute{Name: name, Value: value})
	}
	return out
}

// document is a catalogue with the example's rates as the only ones of a product.
func (x *priceExample) document(t *testing.T) string {
	rates := &x.Rates
	if rates.IsZero() {
		rates = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{&x.Rate}}
	}
	text, err := yaml.Marshal(map[string]any{
		"currency": "EUR",
		"seller":   map[string]any{"id": "main", "name": "Example Ltd", "country": "DE"},
		"products": []any{map[string]any{"id": "p", "name": "P", "unit": "unit", "group_by": x.GroupBy, "rates": rates}},
		"accounts": []any{map[string]any{"id": "a", "name": "A", "time_zone": "Europe/Berlin", "cycle": map[string]any{"every": "monthly"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPriceReadme charges the usage of every example of price/README.md.
func TestPriceReadme(t *testing.T) {
	text, err := os.ReadFile("price/README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		var x priceExample
		if err := yaml.Unmarshal([]byte(block), &x); err != nil {
			t.Fatalf("%v in\n%s", err, block)
		}
		stores, err := storesOf(x.document(t))
		if err != nil {
			t.Errorf("%v in\n%s", err, block)
			continue
		}
		if len(x.Usage) == 0 || len(x.Usage) != len(x.Charges) {
			t.Fatalf("%d events, %d charges in\n%s", len(x.Usage), len(x.Charges), block)
		}
		m := newMachine(&Checkpoint{Last: -1, ActivatedSeq: 1}, DefaultLimits().Window, Faults{})
		for i, want := range x.Charges {
			record := usage.Record{Kind: usage.KindBatch, Events: []usage.Event{x.Usage[i].event(i)}}
			got := stepOne(t, m, stores, exampleNow, int64(i), &record)
			charge := ""
			if len(got.Rejected) == 1 {
				charge = got.Rejected[0].Reason
			} else if len(got.Activities) == 1 {
				charge = got.Activities[0].Charge.String()
			}
			if charge != want {
				t.Errorf("event %d charged %q, want %s in\n%s", i, charge, want, block)
			}
		}
	}
}
