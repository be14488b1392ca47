package oracle

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// vector is a case of testdata/reference-cases.json: worked examples of other billing systems, those about prices.
type vector struct {
	ID       int
	Model    string
	Input    input
	Expected map[string]any
}

type input struct {
	Units        text
	FullUnits    text `json:"full_units"`
	Prorated     text `json:"prorated_units"`
	Tiers        []map[string]any
	PackageSize  text   `json:"package_size"`
	PackagePrice text   `json:"package_amount"`
	FreeUnits    text   `json:"free_units"`
	Cents        text   `json:"sum_precise_total_amount_cents"`
	Running      []text `json:"running_totals"`
	Rate         text   `json:"rate_pct"`
	Fixed        text   `json:"fixed_per_event"`
	FreeEvents   text   `json:"free_events"`
	FreeAmount   text   `json:"free_amount"`
	Min, Max     text
	Events       json.RawMessage
	EventUnits   []text `json:"event_units"`
	EventPart    []text `json:"event_prorated_units"`
	Function     string
	Precision    int
	Usage        json.RawMessage
	Usages       [][]text
	BlockSize    text `json:"block_size"`
	Price        text
	UnitPrice    text `json:"unit_price"`
	Billed       text `json:"already_billed"`
	UnitRate     text `json:"rate"`
}

// text is a number as it is written, quoted or not; null and absent are "".
type text string

func (x *text) UnmarshalJSON(b []byte) error {
	if s := strings.Trim(string(b), `"`); s != "null" {
		*x = text(s)
	}
	return nil
}

func (x text) rat() *big.Rat {
	if x == "" {
		return nil
	}
	return rat(string(x))
}

func of(m map[string]any, names ...string) *big.Rat {
	for _, name := range names {
		if v, ok := m[name]; ok && v != nil {
			return rat(fmt.Sprint(v))
		}
	}
	return nil
}

var october = Usage{
	Start: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Zone: time.UTC,
}

// payments are events with these quantities, an hour apart.
func payments(quantities ...text) (events []Event) {
	for i, q := range quantities {
		events = append(events, Event{
			ID: fmt.Sprintf("e%d", i), Time: october.Start.Add(time.Duration(i) * time.Hour), Quantity: q.rat(),
		})
	}
	return events
}

func priceOf(r Rate, events []Event) *big.Rat { return Line([]Rate{r}, october, events).Amount }

func TestReferenceCases(t *testing.T) {
	raw, err := os.ReadFile("testdata/reference-cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []vector
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%d %s", c.ID, c.Model), func(t *testing.T) {
			for name, got := range c.price(t) {
				want := fmt.Sprint(c.Expected[name])
				places := 12
				if _, err := fmt.Sscanf(name[len(name)-1:], "%d", &places); err == nil {
					got = Round(got, places)
				}
				if got.Cmp(rat(want)) != 0 {
					t.Errorf("%s is %s, want %s", name, got.FloatString(12), want)
				}
			}
		})
	}
}

// price answers the figures of the case by their names.
func (c *vector) price(t *testing.T) map[string]*big.Rat {
	in := &c.Input
	amount := func(a *big.Rat) map[string]*big.Rat { return map[string]*big.Rat{"amount": a} }
	r := Rate{Model: c.Model, Tiers: in.tiers()}
	switch c.Model {
	case "graduated", "volume", "graduated_percentage":
		r.ZeroFlat = true // Lago's policy: the first flat price is due at zero
		return amount(priceOf(r, payments(in.Units)))
	case "graduated_adjacent_decimal", "tiered(half-open)":
		r.Model, r.HalfOpen = graduated, true
		return amount(priceOf(r, payments(in.Units)))
	case "tiered_flat_fee":
		r.Model, r.HalfOpen = graduated, true
		if a := priceOf(r, payments("0")); a.Sign() != 0 {
			t.Errorf("zero units cost %s", a)
		}
		return amount(priceOf(r, payments(in.Units)))
	case "tiered_flat_cap":
		r.Model, r.Maximum = graduated, of(in.Tiers[0], "flat_cap")
		return amount(priceOf(r, payments(in.Units)))
	case "volume_prorated":
		r.Model, r.ProrateDay = volume, true
		return amount(r.prorated([]move{{in.FullUnits.rat(), in.Prorated.rat()}}))
	case "graduated_prorated_recurring":
		r.Model, r.ProrateDay = graduated, true
		var days []move
		for i, u := range in.EventUnits {
			days = append(days, move{u.rat(), in.EventPart[i].rat()})
		}
		return map[string]*big.Rat{"amount_round2": r.prorated(days)}
	case "package":
		r.Size, r.Price, r.Free = in.PackageSize.rat(), in.PackagePrice.rat(), in.FreeUnits.rat()
		if in.PackageSize == "" {
			r.Size, r.Price = in.BlockSize.rat(), in.UnitRate.rat()
		}
		return amount(priceOf(r, payments(in.Units)))
	case "dynamic":
		e := payments(in.Units)
		e[0].Amount = div(in.Cents.rat(), num(100))
		a := priceOf(r, e)
		return map[string]*big.Rat{"amount": a, "unit_amount": div(a, in.Units.rat())}
	case "percentage", "percentage_min_max_per_transaction":
		return amount(priceOf(in.percentage(), payments(in.payments(t)...)))
	case "graduated+recurring":
		grad, vol := r, r
		grad.Model, vol.Model = graduated, volume
		fee, e := num(30), payments(in.Units)
		return map[string]*big.Rat{"ALL_TIERS": add(fee, priceOf(grad, e)), "TOP_TIER": add(fee, priceOf(vol, e))}
	case "unit_rounding":
		o := Rounding{Mode: in.Function, Precision: in.Precision}
		return map[string]*big.Rat{"units": o.apply(in.Units.rat())}
	case "consumable_ALL_TIERS(graduated,blocks)":
		r.Model = blockGraduated
		return amount(priceOf(r, payments(in.Units)))
	case "consumable_TOP_TIER(volume,blocks)":
		r.Model = blockVolume
		return amount(priceOf(r, payments(in.Units)))
	default:
		return c.others(t)
	}
}

func (c *vector) others(t *testing.T) map[string]*big.Rat {
	in := &c.Input
	blocks := Rate{Model: packaged, Size: in.BlockSize.rat(), Price: in.Price.rat()}
	switch c.Model {
	case "incremental_billing_delta":
		var usage []text
		decode(t, in.Usage, &usage)
		total := priceOf(blocks, payments(usage...))
		return map[string]*big.Rat{"recomputed_total": total, "delta": sub(total, in.Billed.rat())}
	case "rounding_half_up_no_rebill":
		total := Round(priceOf(Rate{Model: perUnit, UnitPrice: in.UnitPrice.rat()}, payments(in.Units)), 2)
		return map[string]*big.Rat{"new_items": sub(total, in.Billed.rat())}
	case "block_ceiling":
		got := map[string]*big.Rat{}
		for i, want := range c.Expected["amounts"].([]any) {
			name := fmt.Sprintf("amounts of usage %c", 'a'+i)
			c.Expected[name], got[name] = want, priceOf(blocks, payments(in.Usages[i]...))
		}
		return got
	case "capacity(max tier reached by any unit)":
		var usage map[string]text
		decode(t, in.Usage, &usage)
		var events []Event
		for product, q := range usage {
			e := payments(q)[0]
			e.ID, e.Product = product, product
			events = append(events, e)
		}
		return map[string]*big.Rat{"amount": priceOf(Rate{Model: capacity, Tiers: in.tiers()}, events)}
	case "aggregation_weighted_sum":
		return in.weighted(t, c)
	}
	t.Fatalf("case %d: no model %s", c.ID, c.Model)
	return nil
}

func (in *input) percentage() Rate {
	r := Rate{Model: percentage, Percent: in.Rate.rat(), Fixed: in.Fixed.rat(), Min: in.Min.rat(), Max: in.Max.rat()}
	if n := in.FreeEvents.rat(); n != nil {
		r.FreeEvents = int(n.Num().Int64())
	}
	r.FreeAmount = in.FreeAmount.rat()
	return r
}

// payments are the values of the events: given, or such that they have the running totals and sum of the case. Without running
// totals "events" is how many share the sum.
func (in *input) payments(t *testing.T) (values []text) {
	if in.Units == "" {
		decode(t, in.Events, &values)
		return values
	}
	var n int64
	decode(t, in.Events, &n)
	last := num(0)
	for _, total := range in.Running {
		values = append(values, text(sub(total.rat(), last).FloatString(12)))
		last = total.rat()
	}
	for rest := n - int64(len(values)); rest > 0; rest-- {
		share := div(sub(in.Units.rat(), last), num(rest))
		values = append(values, text(share.FloatString(12)))
		last = add(last, share)
	}
	return values
}

func (in *input) weighted(t *testing.T, c *vector) map[string]*big.Rat {
	var changes [][2]any
	decode(t, in.Events, &changes)
	u := Usage{
		Start: time.Date(2023, 8, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2023, 9, 1, 0, 0, 0, 0, time.UTC), Zone: time.UTC,
	}
	var events []Event
	for i, change := range changes {
		at, err := time.Parse("2006-01-02 15:04", "2023-08-01 "+change[0].(string))
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, Event{ID: fmt.Sprint(i), Time: at, Quantity: rat(fmt.Sprint(change[1]))})
	}
	price := func(r Rate) *big.Rat {
		r.Model, r.UnitPrice = perUnit, num(1)
		return Line([]Rate{r}, u, events).Amount
	}
	if want := fmt.Sprint(c.Expected["count"]); fmt.Sprint(len(events)) != want {
		t.Errorf("%d events, want %s", len(events), want)
	}
	return map[string]*big.Rat{"value_round5": price(Rate{Aggregation: timeWeighted})}
}

// tiers reads the tiers of all three systems: up to a last unit, from a first unit, or a number of blocks.
func (in *input) tiers() (tiers []Tier) {
	for i, m := range in.Tiers {
		tier := Tier{
			UpTo: of(m, "to"), UnitPrice: of(m, "per_unit", "rate", "price"), Flat: of(m, "flat", "flat_fee"),
			Percent: of(m, "rate_pct"), BlockSize: of(m, "block_size"), MaxBlocks: of(m, "max_blocks"), Price: of(m, "price"),
		}
		if i+1 < len(in.Tiers) && m["first_unit"] != nil {
			tier.UpTo = of(in.Tiers[i+1], "first_unit")
		}
		if i+1 == len(in.Tiers) {
			tier.MaxBlocks = nil // the last tier has no end
		}
		for name := range m {
			if strings.HasPrefix(name, "unit") {
				if tier.Limits == nil {
					tier.Limits = map[string]*big.Rat{}
				}
				tier.Limits[name] = of(m, name)
			}
		}
		tiers = append(tiers, tier)
	}
	return tiers
}

func decode(t *testing.T, raw json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}
