package price

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// The reference cases of other billing systems lie beside the checkout, in shared/vectors. Each test
// names the policy that its case needs; the cases that need methods or jobs beyond this package are
// listed in pendingVectors by name, so that whoever adds one of those has to move its cases.

type vector struct {
	ID       int             `json:"id"`
	Model    string          `json:"model"`
	Input    json.RawMessage `json:"input"`
	Expected json.RawMessage `json:"expected"`
}

func (v vector) name() string { return fmt.Sprintf("%d %s", v.ID, v.Model) }

// loadVectors skips the test when the shared folder is not there.
func loadVectors(t *testing.T) map[int]vector {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the package")
		}
		root = filepath.Dir(root)
	}
	path := filepath.Join(filepath.Dir(root), "shared", "vectors", "reference-cases.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the reference cases are not beside this checkout (%s): none of them was run", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	vectors := make(map[int]vector, len(list))
	for _, v := range list {
		vectors[v.ID] = v
	}
	return vectors
}

// decode reads the case's input and expectation.
func decode(t *testing.T, v vector, input, expected any) {
	t.Helper()
	if err := errors.Join(json.Unmarshal(v.Input, input), json.Unmarshal(v.Expected, expected)); err != nil {
		t.Fatal(err)
	}
}

type amountExpected struct{ Amount money.Decimal }

type tierInput struct {
	To        *money.Decimal
	PerUnit   money.Decimal `json:"per_unit"`
	Flat      money.Decimal
	FirstUnit money.Decimal `json:"first_unit"`
	Rate      money.Decimal
	FlatFee   money.Decimal `json:"flat_fee"`
	BlockSize money.Decimal `json:"block_size"`
	MaxBlocks money.Decimal `json:"max_blocks"`
	Price     money.Decimal
}

type tieredInput struct {
	Units money.Decimal
	Tiers []tierInput
}

// priced rates events of the quantities one by one, as the rater does.
func priced(t *testing.T, r *catalog.Rate, quantities ...money.Decimal) money.Decimal {
	t.Helper()
	events := make([]Input, len(quantities))
	for i, q := range quantities {
		events[i].Quantity = q
	}
	return rated(t, r, events...)
}

// lago prices tiers given as inclusive ranges: {from, to, per_unit, flat}.
func lago(model catalog.Model, policy func(r *catalog.Rate)) func(t *testing.T, v vector) {
	return func(t *testing.T, v vector) {
		var in tieredInput
		var want amountExpected
		decode(t, v, &in, &want)
		r := &catalog.Rate{ID: v.name(), Model: model, Aggregation: catalog.AggregationSum}
		for _, tier := range in.Tiers {
			next := catalog.Tier{Last: tier.To == nil, UnitPrice: tier.PerUnit, FlatPrice: tier.Flat}
			if tier.To != nil {
				next.UpTo = *tier.To
			}
			r.Tiers = append(r.Tiers, next)
		}
		policy(r)
		if got := priced(t, r, in.Units); got != want.Amount {
			t.Errorf("%s units cost %s, want %s", in.Units, got, want.Amount)
		}
	}
}

// meteroid prices tiers given by their first unit: {first_unit, rate, flat_fee}.
func meteroid(policy func(r *catalog.Rate)) func(t *testing.T, v vector) {
	return func(t *testing.T, v vector) {
		var in tieredInput
		var want amountExpected
		decode(t, v, &in, &want)
		r := &catalog.Rate{ID: v.name(), Model: catalog.ModelGraduated, Aggregation: catalog.AggregationSum}
		for i, tier := range in.Tiers {
			next := catalog.Tier{Last: i == len(in.Tiers)-1, UnitPrice: tier.Rate, FlatPrice: tier.FlatFee}
			if !next.Last {
				next.UpTo = in.Tiers[i+1].FirstUnit
			}
			r.Tiers = append(r.Tiers, next)
		}
		policy(r)
		if got := priced(t, r, in.Units); got != want.Amount {
			t.Errorf("%s units cost %s, want %s", in.Units, got, want.Amount)
		}
	}
}

// blocks prices tiers of blocks. Those systems bound the last tier too: the cases stay within it.
func blocks(model catalog.Model) func(t *testing.T, v vector) {
	return func(t *testing.T, v vector) {
		var in tieredInput
		var want amountExpected
		decode(t, v, &in, &want)
		r := &catalog.Rate{ID: v.name(), Model: model, Aggregation: catalog.AggregationSum}
		var bound money.Decimal
		for i, tier := range in.Tiers {
			units, _ := tier.BlockSize.Mul(tier.MaxBlocks)
			bound, _ = bound.Add(units)
			r.Blocks = append(r.Blocks, catalog.Block{
				Size: tier.BlockSize, Count: tier.MaxBlocks, Price: tier.Price, UpTo: bound, Last: i == len(in.Tiers)-1,
			})
		}
		if got := priced(t, r, in.Units); got != want.Amount {
			t.Errorf("%s units cost %s, want %s", in.Units, got, want.Amount)
		}
	}
}

func lagoPackage(t *testing.T, v vector) {
	var in struct {
		Units         money.Decimal
		PackageSize   money.Decimal `json:"package_size"`
		PackageAmount money.Decimal `json:"package_amount"`
		FreeUnits     money.Decimal `json:"free_units"`
	}
	var want amountExpected
	decode(t, v, &in, &want)
	r := &catalog.Rate{Model: catalog.ModelPackage, Size: in.PackageSize, Price: in.PackageAmount, Free: in.FreeUnits}
	if got := priced(t, r, in.Units); got != want.Amount {
		t.Errorf("%s units cost %s, want %s", in.Units, got, want.Amount)
	}
}

func meteroidPackage(t *testing.T, v vector) {
	var in struct {
		Units     money.Decimal
		BlockSize money.Decimal `json:"block_size"`
		Rate      money.Decimal
	}
	var want amountExpected
	decode(t, v, &in, &want)
	r := &catalog.Rate{Model: catalog.ModelPackage, Size: in.BlockSize, Price: in.Rate}
	if got := priced(t, r, in.Units); got != want.Amount {
		t.Errorf("%s units cost %s, want %s", in.Units, got, want.Amount)
	}
}

// dynamic: the unit amount of the case is the amount for each of the units.
func dynamic(t *testing.T, v vector) {
	var in struct {
		Units money.Decimal
		Cents money.Decimal `json:"sum_precise_total_amount_cents"`
	}
	var want struct {
		Amount     money.Decimal
		UnitAmount money.Decimal `json:"unit_amount"`
	}
	decode(t, v, &in, &want)
	amount, _ := in.Cents.Mul(dec("0.01"))
	r := &catalog.Rate{Model: catalog.ModelDynamic}
	got := rated(t, r, Input{Quantity: in.Units, Money: amount, HasMoney: true})
	if each, _ := want.UnitAmount.Mul(in.Units); got != want.Amount || each != got {
		t.Errorf("%s units cost %s, want %s, %s each", in.Units, got, want.Amount, want.UnitAmount)
	}
}

// rated rates the events one by one on an otherwise empty line.
func rated(t *testing.T, r *catalog.Rate, events ...Input) money.Decimal {
	t.Helper()
	line := []Segment{{Rate: r}}
	for _, in := range events {
		s, err := Aggregate(r, line[0].State, in)
		if err != nil {
			t.Fatal(err)
		}
		line[0].State = s
	}
	total, err := LineTotal(line)
	if err != nil {
		t.Fatal(err)
	}
	return total
}

type percentageInput struct {
	Units         money.Decimal
	Events        json.RawMessage // how many, or the values
	RunningTotals []money.Decimal `json:"running_totals"`
	RatePct       money.Decimal   `json:"rate_pct"`
	FixedPerEvent money.Decimal   `json:"fixed_per_event"`
	FreeEvents    int64           `json:"free_events"` // null is 0: none
	FreeAmount    *money.Decimal  `json:"free_amount"` // null or 0: none
	Min, Max      *money.Decimal
}

func (in *percentageInput) rate() *catalog.Rate {
	p := &catalog.Percentage{Rate: in.RatePct, Fixed: in.FixedPerEvent, FreeEvents: in.FreeEvents, HasMin: in.Min != nil, HasMax: in.Max != nil}
	for to, from := range map[*money.Decimal]*money.Decimal{&p.FreeAmount: in.FreeAmount, &p.Min: in.Min, &p.Max: in.Max} {
		if from != nil {
			*to = *from
		}
	}
	return &catalog.Rate{Model: catalog.ModelPercentage, Percentage: p}
}

// percentageOfUnits: the values of the first events follow from the running totals; the others share what is left of the
// units, which none of these cases tells apart.
func percentageOfUnits(t *testing.T, v vector) {
	var in percentageInput
	var want amountExpected
	decode(t, v, &in, &want)
	var count int
	if err := json.Unmarshal(in.Events, &count); err != nil {
		t.Fatal(err)
	}
	var events []money.Decimal
	used := money.Zero
	for _, total := range in.RunningTotals {
		value, _ := total.Sub(used)
		events, used = append(events, value), total
	}
	rest, _ := in.Units.Sub(used)
	for len(events) < count-1 {
		events = append(events, money.One)
		rest, _ = rest.Sub(money.One)
	}
	if got := priced(t, in.rate(), append(events, rest)...); got != want.Amount {
		t.Errorf("%v and %s cost %s, want %s", events, rest, got, want.Amount)
	}
}

func percentageOfEvents(t *testing.T, v vector) {
	var in percentageInput
	var want amountExpected
	decode(t, v, &in, &want)
	var events []money.Decimal
	if err := json.Unmarshal(in.Events, &events); err != nil {
		t.Fatal(err)
	}
	if got := priced(t, in.rate(), events...); got != want.Amount {
		t.Errorf("%v cost %s, want %s", events, got, want.Amount)
	}
}

func graduatedPercentage(t *testing.T, v vector) {
	var in struct {
		Units money.Decimal
		Tiers []struct {
			To      *money.Decimal
			Flat    money.Decimal
			RatePct money.Decimal `json:"rate_pct"`
		}
	}
	var want amountExpected
	decode(t, v, &in, &want)
	r := &catalog.Rate{Model: catalog.ModelGraduatedPercentage, ChargeFlatAtZero: true}
	for _, tier := range in.Tiers {
		next := catalog.Tier{Last: tier.To == nil, UnitPrice: tier.RatePct, FlatPrice: tier.Flat}
		if !next.Last {
			next.UpTo = *tier.To
		}
		r.Tiers = append(r.Tiers, next)
	}
	if got := priced(t, r, in.Units); got != want.Amount {
		t.Errorf("%s cost %s, want %s", in.Units, got, want.Amount)
	}
}

// weightedSum: that system's periods end a millisecond before ours.
func weightedSum(t *testing.T, v vector) {
	var in struct {
		Events [][2]any
		Day    string
	}
	var want struct {
		Value money.Decimal `json:"value_round5"`
		Count int
	}
	decode(t, v, &in, &want)
	at := func(text string) int64 {
		instant, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return instant.UnixNano()
	}
	r := &catalog.Rate{Model: catalog.ModelPerUnit, Aggregation: catalog.AggregationTimeWeighted, UnitPrice: money.One}
	period := catalog.Period{Start: at("2023-08-01 00:00"), End: at("2023-09-01 00:00")}
	var events []Input
	for _, e := range in.Events {
		events = append(events, Input{Quantity: dec(fmt.Sprint(e[1])), Time: at(in.Day + " " + e[0].(string)), Period: period})
	}
	got, err := rated(t, r, events...).Round(5, money.RoundHalfUp)
	if err != nil || got != want.Value || len(events) != want.Count {
		t.Errorf("%d changes average %s, %v; want %s", len(events), got, err, want.Value)
	}
}

// unitRounding checks the quantity that is priced, and that a price of 1 a unit charges it.
func unitRounding(t *testing.T, v vector) {
	var in struct {
		Units     money.Decimal
		Function  string
		Precision int // null is 0
	}
	var want struct{ Units money.Decimal }
	decode(t, v, &in, &want)
	mode := map[string]money.RoundingMode{"round": money.RoundHalfUp, "ceil": money.RoundCeil, "floor": money.RoundFloor}[in.Function]
	r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One, Rounding: catalog.Rounding{Mode: mode, Precision: in.Precision}}
	q, err := Quantity(r, State{Sum: in.Units, Events: 1})
	if err != nil || q != want.Units || priced(t, r, in.Units) != want.Units {
		t.Errorf("%s %s to %d: %s, %v; want %s", in.Function, in.Units, in.Precision, q, err, want.Units)
	}
}

// incrementalDelta: what is due now is the total less what was charged before.
func incrementalDelta(t *testing.T, v vector) {
	var in struct {
		Usage         []money.Decimal
		BlockSize     money.Decimal `json:"block_size"`
		Price         money.Decimal
		AlreadyBilled money.Decimal `json:"already_billed"`
	}
	var want struct {
		Delta           money.Decimal
		RecomputedTotal money.Decimal `json:"recomputed_total"`
	}
	decode(t, v, &in, &want)
	r := &catalog.Rate{Model: catalog.ModelPackage, Size: in.BlockSize, Price: in.Price}
	total := priced(t, r, in.Usage...)
	delta, err := total.Sub(in.AlreadyBilled)
	if err != nil || total != want.RecomputedTotal || delta != want.Delta {
		t.Errorf("total %s, delta %s, %v; want %s, %s", total, delta, err, want.RecomputedTotal, want.Delta)
	}
}

// noRebill: 55 × 0.067 = 3.685 is billed as 3.69, and nothing remains to be billed.
func noRebill(t *testing.T, v vector) {
	var in struct {
		Units         money.Decimal
		UnitPrice     money.Decimal `json:"unit_price"`
		AlreadyBilled money.Decimal `json:"already_billed"`
	}
	var want struct {
		NewItems int `json:"new_items"`
	}
	decode(t, v, &in, &want)
	r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: in.UnitPrice}
	rounded, err := priced(t, r, in.Units).Round(2, money.RoundHalfUp)
	if err != nil || (rounded == in.AlreadyBilled) != (want.NewItems == 0) {
		t.Errorf("rounded to %s, %v; billed before %s", rounded, err, in.AlreadyBilled)
	}
}

func blockCeiling(t *testing.T, v vector) {
	var in struct {
		BlockSize money.Decimal `json:"block_size"`
		Price     money.Decimal
		Usages    [][]money.Decimal
	}
	var want struct{ Amounts []money.Decimal }
	decode(t, v, &in, &want)
	r := &catalog.Rate{Model: catalog.ModelPackage, Size: in.BlockSize, Price: in.Price}
	for i, usage := range in.Usages {
		if got := priced(t, r, usage...); got != want.Amounts[i] {
			t.Errorf("%v cost %s, want %s", usage, got, want.Amounts[i])
		}
	}
}

// proratedVolumeCase gives the units of the period and those that are left of them when each counts from its day.
func proratedVolumeCase(t *testing.T, v vector) {
	var in struct {
		tieredInput
		Prorated money.Decimal `json:"prorated_units"`
		Full     money.Decimal `json:"full_units"`
	}
	var want amountExpected
	decode(t, v, &in, &want)
	r := &catalog.Rate{ID: v.name(), Model: catalog.ModelVolume, Tiers: inclusiveTiers(in.Tiers)}
	if got, err := proratedVolume(r, in.Full, in.Prorated, 1); err != nil || got != want.Amount {
		t.Errorf("%s of %s units cost %s, %v; want %s", in.Prorated, in.Full, got, err, want.Amount)
	}
}

// proratedGraduatedCase walks the events in the order in which they stand, each with the days of 30 that its prorated units come to. In
// case 39 the last event is of an earlier day than the one before it, which days that follow one another never are: it says how
// the walk prices, not in which order.
func proratedGraduatedCase(left ...int64) func(t *testing.T, v vector) {
	return func(t *testing.T, v vector) {
		var in struct {
			tieredInput
			Units    []money.Decimal `json:"event_units"`
			Prorated []money.Decimal `json:"event_prorated_units"`
		}
		var want struct {
			Amount money.Decimal `json:"amount_round2"`
		}
		decode(t, v, &in, &want)
		w := dayWalk{rate: &catalog.Rate{ID: v.name(), Model: catalog.ModelGraduated, Tiers: inclusiveTiers(in.Tiers)}, length: 30}
		for i, units := range in.Units {
			unitDays, _ := units.Mul(money.FromInt(left[i]))
			prorated, _ := in.Prorated[i].Mul(money.FromInt(30))
			if off, _ := unitDays.Sub(prorated); off.Abs().Cmp(dec("0.1")) > 0 {
				t.Fatalf("event %d: %s units for %d days are not %s for 30", i, units, left[i], in.Prorated[i])
			}
			w.days = append(w.days, Day{Left: left[i], Units: units})
		}
		got, err := proratedGraduated(&w)
		if err == nil {
			got, err = got.Round(2, money.RoundHalfUp)
		}
		if err != nil || got != want.Amount {
			t.Errorf("%v cost %s, %v; want %s", in.Units, got, err, want.Amount)
		}
	}
}

// besideRecurring prices the usage of the case under both policies; its totals are that and what recurs.
func besideRecurring(t *testing.T, v vector) {
	var in struct {
		Units, Recurring money.Decimal
		Tiers            []tierInput
	}
	var want struct {
		AllTiers money.Decimal `json:"ALL_TIERS"`
		TopTier  money.Decimal `json:"TOP_TIER"`
	}
	decode(t, v, &in, &want)
	for i := range in.Tiers {
		in.Tiers[i].PerUnit = in.Tiers[i].Price
	}
	for model, total := range map[catalog.Model]money.Decimal{catalog.ModelGraduated: want.AllTiers, catalog.ModelVolume: want.TopTier} {
		usage, err := total.Sub(in.Recurring)
		got := priced(t, &catalog.Rate{ID: v.name(), Model: model, Tiers: inclusiveTiers(in.Tiers)}, in.Units)
		if err != nil || got != usage {
			t.Errorf("%s: %s units cost %s, %v; want %s", model, in.Units, got, err, usage)
		}
	}
}

func inclusiveTiers(tiers []tierInput) (out []catalog.Tier) {
	for _, tier := range tiers {
		next := catalog.Tier{Last: tier.To == nil, UnitPrice: tier.PerUnit, FlatPrice: tier.Flat}
		if tier.To != nil {
			next.UpTo = *tier.To
		}
		out = append(out, next)
	}
	return out
}

// tierCap: a cap on what a tier comes to is, with one tier, the maximum of the rate.
func tierCap(t *testing.T, v vector) {
	var in struct {
		Units money.Decimal
		Tiers []struct {
			Rate money.Decimal
			Cap  money.Decimal `json:"flat_cap"`
		}
	}
	var want amountExpected
	decode(t, v, &in, &want)
	r := &catalog.Rate{ID: v.name(), Model: catalog.ModelGraduated, Maximum: in.Tiers[0].Cap,
		Tiers: []catalog.Tier{{Last: true, UnitPrice: in.Tiers[0].Rate}}}
	if got := priced(t, r, in.Units); len(in.Tiers) != 1 || got != want.Amount {
		t.Errorf("%s units cost %s, want %s", in.Units, got, want.Amount)
	}
}

func capacityCase(t *testing.T, v vector) {
	var in struct {
		Usage map[string]money.Decimal
		Tiers []map[string]money.Decimal
	}
	var want amountExpected
	decode(t, v, &in, &want)
	r := &catalog.Rate{ID: v.name(), Model: catalog.ModelCapacity}
	for _, members := range in.Tiers {
		tier := catalog.CapacityTier{}
		for name, value := range members {
			if name == "price" {
				tier.Price = value
			} else {
				tier.Limits = append(tier.Limits, catalog.Limit{Product: name, Most: value})
			}
		}
		r.Capacity = append(r.Capacity, tier)
	}
	var pool []Used
	for product, q := range in.Usage {
		pool = append(pool, Used{product, q})
	}
	if got, err := CapacityTotal(r, pool); err != nil || got != want.Amount {
		t.Errorf("%v costs %s, %v; want %s", in.Usage, got, err, want.Amount)
	}
}

// Policies, by the names of pricing.md.
func defaults(*catalog.Rate)         {}
func halfOpen(r *catalog.Rate)       { r.HalfOpenBounds = true }
func chargeFlatZero(r *catalog.Rate) { r.ChargeFlatAtZero = true }
func halfOpenNoFlat(r *catalog.Rate) { r.HalfOpenBounds, r.ChargeFlatAtZero = true, false }

const (
	boundsInclusive = "bounds inclusive (default)"
	boundsHalfOpen  = "bounds: half_open"
	zeroCharge      = "zero_usage_flat: charge"
	zeroSkip        = "zero_usage_flat: skip (default)"
	roundTotal      = "rounding on total"
	perEvent        = "free allowances first, in log order"
	byDays          = "prorate: day"
	perPeriod       = "package, on the period's sum"
)

var supportedVectors = map[int]struct {
	policy string
	run    func(t *testing.T, v vector)
}{
	2:   {boundsInclusive, lago(catalog.ModelGraduated, defaults)},
	3:   {boundsInclusive, lago(catalog.ModelGraduated, defaults)},
	5:   {boundsInclusive, lago(catalog.ModelGraduated, defaults)},
	6:   {boundsInclusive, lago(catalog.ModelGraduated, defaults)},
	8:   {boundsHalfOpen, lago(catalog.ModelGraduated, halfOpen)},
	9:   {zeroCharge, lago(catalog.ModelVolume, chargeFlatZero)},
	11:  {boundsInclusive, lago(catalog.ModelVolume, defaults)},
	12:  {boundsInclusive, lago(catalog.ModelVolume, defaults)},
	14:  {boundsInclusive, lago(catalog.ModelVolume, defaults)},
	15:  {boundsInclusive, lago(catalog.ModelVolume, defaults)},
	16:  {byDays, proratedVolumeCase},
	19:  {perPeriod, lagoPackage},
	21:  {"amounts of the events", dynamic},
	22:  {perEvent, percentageOfUnits},
	23:  {perEvent, percentageOfUnits},
	24:  {perEvent, percentageOfUnits},
	26:  {perEvent, percentageOfUnits},
	30:  {perEvent, percentageOfEvents},
	31:  {perEvent, percentageOfEvents},
	32:  {perEvent, percentageOfEvents},
	33:  {boundsInclusive + ", " + zeroCharge, graduatedPercentage},
	34:  {boundsInclusive, graduatedPercentage},
	36:  {boundsInclusive, graduatedPercentage},
	38:  {boundsInclusive, graduatedPercentage},
	46:  {"level: change (default)", weightedSum},
	39:  {byDays, proratedGraduatedCase(21, 16, 6, 11)},
	43:  {byDays, proratedGraduatedCase(21, 15, 12, 6)},
	44:  {byDays, proratedGraduatedCase(21)},
	45:  {byDays, proratedGraduatedCase(12, 10)},
	48:  {roundTotal, unitRounding},
	49:  {roundTotal, unitRounding},
	50:  {roundTotal, unitRounding},
	51:  {roundTotal, unitRounding},
	52:  {roundTotal, unitRounding},
	76:  {boundsInclusive, blocks(catalog.ModelBlockGraduated)},
	77:  {boundsInclusive, blocks(catalog.ModelBlockGraduated)},
	79:  {boundsInclusive, blocks(catalog.ModelBlockVolume)},
	80:  {boundsInclusive, blocks(catalog.ModelBlockVolume)},
	81:  {boundsInclusive, blocks(catalog.ModelBlockVolume)},
	82:  {boundsInclusive, blocks(catalog.ModelBlockVolume)},
	86:  {perPeriod, incrementalDelta},
	87:  {"half up to the minor unit, once", noRebill},
	89:  {"the first tier whose limits hold", capacityCase},
	90:  {"the first tier whose limits hold", capacityCase},
	93:  {perPeriod, blockCeiling},
	99:  {"usage alone; what recurs is not priced here", besideRecurring},
	100: {boundsHalfOpen, meteroid(halfOpen)},
	102: {boundsHalfOpen + ", " + zeroSkip, meteroid(halfOpenNoFlat)},
	103: {"maximum", tierCap},
	104: {perPeriod, meteroidPackage},
}

// pendingVectors names what the other cases wait for.
var pendingVectors = []struct {
	needs string
	names []string
}{
	{"minimum on a line, trued up by the close job", []string{"59 minimum_commitment_prorated_first_period", "60 minimum_commitment_full_period"}},
	{"recurring products", []string{"61 proration_on_termination", "96 plan_change_repair", "97 second_plan_change_uses_credit",
		"106 upgrade_mid_period", "107 upgrade_last_day", "109 annual_component_in_monthly_period"}},
	{"progressive billing", []string{"62 progressive_billing", "63 progressive_billing_termination"}},
	{"discounts of the close job", []string{"65 coupon_then_tax", "66 three_coupons_targets_tax", "67 coupon_fixed", "68 coupon_fixed_exceeds",
		"69 coupon_percentage", "110 coupon_two_percent", "111 coupon_percent_before_fixed", "112 coupon_fixed_floor"}},
	{"credit notes", []string{"71 credit_note_unused_period", "73 credit_note_unused_period", "118 partial_credit_tax", "119 two_partial_credits_sum"}},
	{"account credit", []string{"98 account_credit_pays_tax_too"}},
	{"taxes", []string{"113 tax_rounding", "116 tax_line_overrides_customer", "117 tax_region_most_specific"}},
}

func TestVectors(t *testing.T) {
	vectors := loadVectors(t)
	for _, id := range slices.Sorted(maps.Keys(supportedVectors)) {
		c := supportedVectors[id]
		v, ok := vectors[id]
		if !ok {
			t.Errorf("case %d is not among the reference cases", id)
			continue
		}
		t.Run(v.name()+"/"+c.policy, func(t *testing.T) { c.run(t, v) })
	}
}

// TestPendingVectors: every case either runs or is pending by name, and none is both.
func TestPendingVectors(t *testing.T) {
	vectors := loadVectors(t)
	var want, got []string
	for id, v := range vectors {
		if _, ok := supportedVectors[id]; !ok {
			want = append(want, v.name())
		}
	}
	for _, group := range pendingVectors {
		t.Logf("pending for %s: %q", group.needs, group.names)
		got = append(got, group.names...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("pending is\n%q, but these do not run\n%q", got, want)
	}
	t.Logf("%d of %d reference cases run, %d are pending", len(supportedVectors), len(vectors), len(got))
}

// TestVectorNotes checks what the notes of the cases say beyond their figures.
func TestVectorNotes(t *testing.T) {
	tier := []catalog.Tier{{Last: true, UnitPrice: money.One, FlatPrice: dec("10")}}
	for _, c := range []struct {
		policy string
		charge bool
		want   string
	}{{zeroSkip, false, "0"}, {zeroCharge, true, "10"}} {
		r := &catalog.Rate{Model: catalog.ModelGraduated, Tiers: tier, ChargeFlatAtZero: c.charge}
		if got := priced(t, r, money.Zero); got != dec(c.want) {
			t.Errorf("case 102 at zero units, %s: %s, want %s", c.policy, got, c.want)
		}
	}
}
