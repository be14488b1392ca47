package rater

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

func segmentsOf(decoded []Segment) []segment {
	list := make([]segment, len(decoded))
	for i, s := range decoded {
		list[i] = s.segment()
	}
	return list
}

// TestPlainSegments: segments with a sum alone are written as the first release wrote them, byte for byte.
func TestPlainSegments(t *testing.T) {
	const want = "01" + "01" + // format, one segment
		"0770726f64756374" + "0163" + "0172" + // product, c, r
		"05" + "0e" + // start -3, seq 7
		"000000000000000000000246" + "139ca800" + // 2.5
		"04" // two events
	s := segment{
		owner: catalog.Ref{Kind: catalog.KindProduct, ID: "c"}, segmentKey: segmentKey{id: "r", start: -3}, seq: 7,
		state: price.State{Sum: money.MustParse("2.5"), Events: 2},
	}
	if got := hex.EncodeToString(appendSegments(nil, []segment{s})); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	data, _ := hex.DecodeString(want)
	if got, err := DecodeSegments(data); err != nil || !reflect.DeepEqual(segmentsOf(got), []segment{s}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// counting is a segment that counts values.
func counting(attribute string, s segment) segment {
	s.shape = price.ShapeOf(6, attribute)
	return s
}

func TestFullSegments(t *testing.T) {
	var exact money.Wide
	exact.AddProduct(money.MustParse("-1234.5"), money.MustParse("0.000000000001"))
	base := segment{owner: catalog.Ref{Kind: catalog.KindContract, ID: "c-1"}, segmentKey: segmentKey{id: "r", start: catalog.Always}, seq: 7}
	with := func(cell string, s price.State) segment {
		g := base
		g.cell, g.state = cell, s
		return g
	}
	for name, list := range map[string][]segment{
		"none": {},
		"values": {
			counting("user", with("", price.State{Events: 3, Rest: price.RestOfUnique(&price.Unique{Set: [16]byte{7}, Changes: 5, Spreads: []price.Spread{{Places: 1, Values: 1}, {Places: 3, Values: 2}}}, 2)})),
			counting("host", with("c", price.State{Events: 1, Rest: price.RestOfUnique(&price.Unique{Set: [16]byte{8}, Changes: 1, Spreads: []price.Spread{{Places: 1 << 3, Values: -2}, {Places: 1 << 63, Values: 1}}}, 1<<63)})),
		},
		"a cell": {with("region=eu", price.State{Events: 1})},
		"max":    {with("", price.State{Events: 3, Peak: money.MustParse("7.5")})},
		"latest": {with("", price.State{Events: 3, Peak: money.MustParse("0"), At: -5, ID: "e-17"})},
		"by day": {with("", price.State{Events: 3, Sum: money.MustParse("2"), Rest: &price.Rest{Length: 31, Days: []price.Day{
			{Left: 31, Units: money.MustParse("3.5")}, {Left: 30}, {Left: 1, Units: money.MustParse("-1.5")},
		}}})},
		"a shape": {func() segment { g := with("", price.State{Events: 1}); g.shape = 0xc5; return g }()},
		"exchanged": {func() segment {
			g := with("a", price.State{Events: 1, At: 1})
			g.pinned = &conversion{from: "USD", exchange: money.Exchange{Rate: money.MustParse("0.869565217391"), Date: -20}}
			return g
		}()},
		"averaged": {with("", price.State{Events: 3, Sum: money.MustParse("-2"), At: 2678400e9, Exact: exact})},
		"a share": {func() segment {
			g := with("", price.State{Events: 1})
			g.share = &share{activity.ID{7}, money.MustParse("-3")}
			return g
		}()},
		"levels": {with("", price.State{Events: 3, Sum: money.MustParse("-2"), At: 2678400e9, Exact: exact, Rest: price.RestOfLevels([]price.Level{
			{At: 0, Value: money.MustParse("7")}, {At: 5, ID: "a", Value: money.MustParse("1")}, {At: 5, ID: "b", Value: money.MustParse("-2")},
		})})},
		"everything": {with("", price.State{Sum: money.One, Events: 1}), with("a=b&c=d", price.State{Sum: money.One, Events: 1, Peak: money.One, At: 1, Exact: exact, ID: "x"})},
	} {
		b := appendSegments(nil, list)
		got, err := DecodeSegments(b)
		if err != nil || !reflect.DeepEqual(segmentsOf(got), list) {
			t.Errorf("%s came back as %+v, %v", name, got, err)
		}
		for n := range b {
			if _, err := DecodeSegments(b[:n]); !errors.Is(err, errSegments) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(b), err)
			}
		}
		if _, err := DecodeSegments(append(b, 0)); !errors.Is(err, errSegments) {
			t.Errorf("%s and a byte more: %v", name, err)
		}
	}
	unknown := append(appendSegments(nil, []segment{with("x", price.State{})})[:0:0], 3, 0)
	if _, err := DecodeSegments(unknown); !errors.Is(err, errSegments) {
		t.Errorf("another format: %v", err)
	}
	flagged := appendSegments(nil, []segment{with("", price.State{Events: 1, At: 1})})
	n := len(flagged)
	flagged = slices.Concat(flagged[:n-2], binary.AppendUvarint(nil, uint64(flagged[n-2])|(allFlags+1)), flagged[n-1:])
	if _, err := DecodeSegments(flagged); !errors.Is(err, errSegments) {
		t.Errorf("an unknown flag: %v", err)
	}
}

// TestStatesOwnTheirText: what a state keeps of an event outlives the memory of its record, also where an event says the same id again.
func TestStatesOwnTheirText(t *testing.T) {
	r := &catalog.Rate{Model: catalog.ModelPerUnit, UnitPrice: money.One, Aggregation: catalog.AggregationLatest}
	var s price.State
	for n, id := range []string{"e1", "e2", "e2"} {
		memory := []byte(id)
		in := price.Input{Quantity: money.FromInt(int64(n)), Time: int64(n), ID: unsafe.String(&memory[0], len(memory))}
		if err := aggregate(r, &s, &in); err != nil {
			t.Fatal(err)
		}
		memory[1] = '#'
		if s.ID != id {
			t.Errorf("event %d: kept %q, want %q", n, s.ID, id)
		}
	}
}

// TestDamagedDays: days that are not in the period or not in order are no state.
func TestDamagedDays(t *testing.T) {
	for name, rest := range map[string]*price.Rest{
		"none":             {Length: 31, Days: []price.Day{}},
		"no days left":     {Length: 31, Days: []price.Day{{Left: 0}}},
		"before the first": {Length: 31, Days: []price.Day{{Left: 32}}},
		"not in order":     {Length: 31, Days: []price.Day{{Left: 3}, {Left: 4}}},
		"twice":            {Length: 31, Days: []price.Day{{Left: 3}, {Left: 3}}},
		"no period":        {Length: 0, Days: []price.Day{{Left: 1}}},
	} {
		b := appendSegments(nil, []segment{{segmentKey: segmentKey{id: "r"}, state: price.State{Events: 1, Rest: rest}}})
		if got, err := DecodeSegments(b); !errors.Is(err, errSegments) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestDamagedLevels: levels out of their order are no state, and nothing stands beside them.
func TestDamagedLevels(t *testing.T) {
	for name, all := range map[string][]price.Level{
		"none":         {},
		"before":       {{At: 5}, {At: 4}},
		"ids":          {{At: 5, ID: "b"}, {At: 5, ID: "a"}},
		"before zero":  {{At: -1}},
		"past the end": {{At: math.MaxInt64}, {At: -9}},
	} {
		b := appendSegments(nil, []segment{{segmentKey: segmentKey{id: "r"}, state: price.State{Events: 1, Rest: price.RestOfLevels(all)}}})
		if got, err := DecodeSegments(b); !errors.Is(err, errSegments) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestDamagedValues: counts that are none, and places out of their order, are no state.
func TestDamagedValues(t *testing.T) {
	for name, u := range map[string]price.Unique{
		"no place":     {Changes: 1},
		"nowhere":      {Changes: 1, Spreads: []price.Spread{{Values: 1}}},
		"no values":    {Changes: 1, Spreads: []price.Spread{{Places: 1}}},
		"not in order": {Changes: 2, Spreads: []price.Spread{{Places: 2, Values: 1}, {Places: 1, Values: 1}}},
		"twice":        {Changes: 2, Spreads: []price.Spread{{Places: 2, Values: 1}, {Places: 2, Values: 1}}},
		"negative":     {Changes: -1, Spreads: []price.Spread{{Places: 1, Values: 1}}},
	} {
		b := appendSegments(nil, []segment{counting("user", segment{segmentKey: segmentKey{id: "r"}, state: price.State{Events: 1, Rest: price.RestOfUnique(&u, 1)}})})
		if got, err := DecodeSegments(b); !errors.Is(err, errSegments) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzDecodeSegments(f *testing.F) {
	f.Add(appendSegments(nil, []segment{counting("user", segment{segmentKey: segmentKey{id: "r"}, state: price.State{Events: 2, Rest: price.RestOfUnique(&price.Unique{Changes: 1, Spreads: []price.Spread{{Places: 1, Values: 1}}}, 1)}})}))
	f.Add(appendSegments(nil, []segment{{segmentKey: segmentKey{id: "r"}, state: price.State{Events: 2, Rest: price.RestOfLevels([]price.Level{{At: 5, ID: "a"}, {At: 5, ID: "b"}})}}}))
	f.Add(appendSegments(nil, []segment{{segmentKey: segmentKey{id: "r"}, state: price.State{Sum: money.One, Events: 1}}}))
	f.Add(appendSegments(nil, []segment{{segmentKey: segmentKey{id: "r", cell: "c"}, state: price.State{Peak: money.One, At: 5, ID: "x"}}}))
	f.Add(appendSegments(nil, []segment{{segmentKey: segmentKey{id: "r"}, state: price.State{Rest: &price.Rest{Length: 30, Days: []price.Day{{Left: 7, Units: money.One}, {Left: 2}}}}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := DecodeSegments(data)
		if err != nil {
			return
		}
		b := appendSegments(nil, segmentsOf(first))
		again, err := DecodeSegments(b)
		if err != nil || !bytes.Equal(appendSegments(nil, segmentsOf(again)), b) {
			t.Fatalf("%x came back as %x, %v", data, b, err)
		}
	})
}
