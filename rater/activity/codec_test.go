package activity_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
)

func TestAppendBytes(t *testing.T) {
	// Worked out by hand from the numbers of the fields: what is published must stay readable for ever.
	r := activity.Record{
		Offset: 300, Previous: -1, Version: 1, LogTime: 2, Duplicates: 3,
		Activities: []activity.Activity{{
			Kind: activity.KindUsage, EventID: "e", EventTime: 1,
			Attributes: []activity.Attribute{{Name: "a", Value: "b"}},
			Quantity:   money.MustParse("0.000000000128"), Charge: money.MustParse("-0.000000000001"),
		}},
		Rejected: []activity.Rejected{{EventIndex: 1, Reason: "no_rate"}},
	}
	want := "08ac02" + "1001" + "1801" + "210200000000000000" + "2803" +
		"321d" + "0801" + "1a0165" + "290100000000000000" + "5a060a0161120162" + "6a020080" + "7201ff" +
		"3a0b" + "0801" + "12076e6f5f72617465"
	if got := hex.EncodeToString(activity.Append(nil, &r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLongMessages(t *testing.T) {
	for _, n := range []int{0, 1, 100, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16380, 16390, 1 << 21} {
		r := activity.Record{Offset: 1, Activities: []activity.Activity{
			{Kind: 1, EventID: strings.Repeat("x", n)}, {Kind: 2, Index: 1}}}
		var got activity.Record
		if err := activity.Decode(activity.Append([]byte("before"), &r)[6:], &got); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if !reflect.DeepEqual(got.Activities, r.Activities) {
			t.Errorf("%d bytes: another record came back", n)
		}
	}
}

func TestMalformed(t *testing.T) {
	good := activity.Append(nil, &activity.Record{Offset: 5, Previous: 4, Version: 1, LogTime: 9,
		Activities: []activity.Activity{{Kind: 1, Account: "acme", Charge: money.One}}})
	tests := map[string][]byte{
		"cut in a tag":            {0x80},
		"cut in a varint":         {0x08, 0x80},
		"length past the end":     {0x32, 0x05, 0x08},
		"huge length":             {0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"field number zero":       {0x00, 0x01},
		"offset as bytes":         {0x0a, 0x01, 0x00},
		"version past 32 bits":    {0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"decimal of 17 bytes":     append([]byte{0x32, 0x13, 0x6a, 0x11}, make([]byte, 17)...),
		"empty decimal":           {0x32, 0x02, 0x6a, 0x00},
		"smallest 128-bit number": append([]byte{0x32, 0x12, 0x6a, 0x10, 0x80}, make([]byte, 15)...),
		"invoice of 15 bytes":     append([]byte{0x32, 0x12, 0xb2, 0x01, 0x0f}, make([]byte, 15)...),
		"cut short":               good[:len(good)-1],
		"too many activities":     bytes.Repeat([]byte{0x32, 0x00}, activity.MaxActivities+1),
	}
	for name, b := range tests {
		var r activity.Record
		if err := activity.Decode(b, &r); !errors.Is(err, activity.ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestUnknownFieldsArePassedOver(t *testing.T) {
	r := activity.Record{Offset: 5, Previous: 4, Version: 1}
	b := append(activity.Append(nil, &r), 0xa2, 0x06, 0x01, 0x78) // field 100, bytes
	var got activity.Record
	if err := activity.Decode(b, &got); err != nil || got.Offset != 5 || got.Previous != 4 {
		t.Errorf("got %+v, %v", got, err)
	}
	if h, err := activity.DecodeHeader(b); err != nil || h != (activity.Header{Offset: 5, Previous: 4, Version: 1}) {
		t.Errorf("header %+v, %v", h, err)
	}
}

func TestDecodeForgetsTheRecordBefore(t *testing.T) {
	first := activity.Append(nil, &activity.Record{Offset: 1, Duplicates: 2,
		Activities: []activity.Activity{{Kind: 1, Account: "a", Attributes: []activity.Attribute{{Name: "n", Value: "v"}}}, {Kind: 1}}})
	second := activity.Append(nil, &activity.Record{Offset: 2, Activities: []activity.Activity{{Kind: 2}}})
	var r activity.Record
	if err := activity.Decode(first, &r); err != nil {
		t.Fatal(err)
	}
	if err := activity.Decode(second, &r); err != nil {
		t.Fatal(err)
	}
	want := []activity.Activity{{Kind: 2}}
	if r.Offset != 2 || r.Duplicates != 0 || !reflect.DeepEqual(r.Activities, want) || len(r.Rejected) != 0 {
		t.Errorf("got %+v", r)
	}
}

func anyDecimal(t *rapid.T, label string) money.Decimal {
	b := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label)
	zeros := rapid.IntRange(0, 16).Draw(t, label+" sign bytes")
	fill := rapid.SampledFrom([]byte{0, 0xff}).Draw(t, label+" sign")
	for i := range zeros {
		b[i] = fill
	}
	d, err := money.FromBinary16(b)
	if err != nil {
		return money.Decimal{}
	}
	return d
}

func anyRecord(t *rapid.T) activity.Record {
	text := rapid.String()
	instant := rapid.Int64()
	id := func(label string) activity.ID {
		return activity.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	}
	attributes := func(label string) []activity.Attribute {
		n := rapid.IntRange(0, 3).Draw(t, label)
		var list []activity.Attribute
		for range n {
			list = append(list, activity.Attribute{Name: text.Draw(t, "name"), Value: text.Draw(t, "value")})
		}
		return list
	}
	r := activity.Record{
		Offset: rapid.Int64Min(0).Draw(t, "offset"), Previous: rapid.Int64Min(-1).Draw(t, "previous"),
		Version: rapid.Uint32().Draw(t, "version"), LogTime: instant.Draw(t, "log time"),
		Duplicates: rapid.IntRange(0, math.MaxInt32).Draw(t, "duplicates"),
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "activities") {
		r.Activities = append(r.Activities, activity.Activity{
			Kind: activity.Kind(rapid.IntRange(1, 2).Draw(t, "kind")), Index: i,
			EventID: text.Draw(t, "event"), Source: text.Draw(t, "source"), EventTime: instant.Draw(t, "time"),
			Account: text.Draw(t, "account"), Billed: text.Draw(t, "billed"), Seller: text.Draw(t, "seller"),
			Product: text.Draw(t, "product"), Package: text.Draw(t, "package"),
			Attributes: attributes("attributes"), Group: attributes("group"),
			Quantity: anyDecimal(t, "quantity"), Charge: anyDecimal(t, "charge"), Currency: text.Draw(t, "currency"),
			Level: text.Draw(t, "level"), RateAccount: text.Draw(t, "rate account"), RateID: text.Draw(t, "rate"),
			RateSeq: instant.Draw(t, "seq"), RateModel: text.Draw(t, "model"), ActivatedSeq: instant.Draw(t, "activated"),
			Invoice: id("invoice"), PeriodStart: instant.Draw(t, "start"), PeriodEnd: instant.Draw(t, "end"), Line: id("line"),
			UsageStart: instant.Draw(t, "usage start"), UsageEnd: instant.Draw(t, "usage end"),
			LineAmount: anyDecimal(t, "line amount"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "rejected") {
		r.Rejected = append(r.Rejected, activity.Rejected{
			EventIndex: rapid.IntRange(0, 255).Draw(t, "index"), Reason: text.Draw(t, "reason"), EventID: text.Draw(t, "event"),
			Source: text.Draw(t, "source"), EventTime: instant.Draw(t, "time"), Account: text.Draw(t, "account"),
		})
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		b := activity.Append(nil, &r)
		var got activity.Record
		if err := activity.Decode(b, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Activities) == 0 {
			got.Activities = nil
		}
		if len(got.Rejected) == 0 {
			got.Rejected = nil
		}
		if !reflect.DeepEqual(r, got) {
			t.Fatalf("sent %+v\ngot %+v", r, got)
		}
		if !bytes.Equal(activity.Append(nil, &got), b) {
			t.Fatal("encoding again gives other bytes")
		}
		h, err := activity.DecodeHeader(b)
		if want := (activity.Header{Offset: r.Offset, Previous: r.Previous, Version: r.Version, LogTime: r.LogTime}); err != nil || h != want {
			t.Fatalf("header %+v, %v", h, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(activity.Append(nil, &activity.Record{Offset: 7, Previous: 6, Version: 1, LogTime: 1,
		Activities: []activity.Activity{{Kind: 1, Account: "acme", Group: []activity.Attribute{{Name: "n", Value: "v"}}, Charge: money.One.Neg(), Line: activity.ID{1}}},
		Rejected:   []activity.Rejected{{Reason: "no_rate"}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again activity.Record
		if activity.Decode(b, &r) != nil {
			return
		}
		encoded := activity.Append(nil, &r)
		if err := activity.Decode(encoded, &again); err != nil {
			t.Fatalf("own encoding is malformed: %v", err)
		}
		if !bytes.Equal(activity.Append(nil, &again), encoded) {
			t.Fatal("encoding is not stable")
		}
	})
}

func TestFollow(t *testing.T) {
	type record struct {
		previous, offset int64
		taken            bool
	}
	tests := []struct {
		name string
		from int64
		log  []record
		last int64
	}{
		{"in order", -1, []record{{-1, 0, true}, {0, 1, true}, {1, 4, true}}, 4},
		{"a repeat is passed over", -1, []record{{-1, 0, true}, {-1, 0, false}, {0, 2, true}, {0, 2, false}}, 2},
		{"a failed produce leaves later ones behind", -1, []record{{-1, 0, true}, {1, 2, false}, {0, 1, true}, {1, 2, true}}, 2},
		{"a zombie's first record stands", 4, []record{{4, 5, true}, {5, 6, true}, {4, 5, false}, {5, 6, false}, {6, 7, true}}, 7},
		{"a record that points at itself", 4, []record{{4, 4, false}, {4, 3, false}}, 4},
	}
	for _, test := range tests {
		f := activity.FollowFrom(test.from)
		for i, r := range test.log {
			if got := f.Take(&activity.Record{Previous: r.previous, Offset: r.offset}); got != r.taken {
				t.Errorf("%s: record %d taken: %v", test.name, i, got)
			}
		}
		if f.Last() != test.last {
			t.Errorf("%s: last %d, want %d", test.name, f.Last(), test.last)
		}
	}
	f := activity.FollowFrom(0)
	f.TakeOffset(5, 6)
	f.TakeOffset(6, 7)
	if f.Passed() != 2 {
		t.Errorf("passed over %d, want 2", f.Passed())
	}
	if f.TakeOffset(0, 1); f.Passed() != 0 {
		t.Errorf("passed over %d after one was taken", f.Passed())
	}
}

func BenchmarkCodec(b *testing.B) {
	r := activity.Record{Offset: 123456, Previous: 123455, Version: 1, LogTime: 1795000000000000000}
	for i := range 100 {
		r.Activities = append(r.Activities, activity.Activity{
			Kind: 1, Index: i, EventID: "e-123456789", Source: "gateway-7", EventTime: 1795000000000000000, Account: "acme", Billed: "acme",
			Seller: "main", Product: "api-calls", Attributes: []activity.Attribute{{Name: "region", Value: "eu"}},
			Quantity: money.MustParse("3"), Charge: money.MustParse("0.3"), Currency: "USD", Level: "contract", RateAccount: "acme",
			RateID: "contract:c-1/api-calls@2026-01-01", RateSeq: 17, RateModel: "graduated", ActivatedSeq: 30, Invoice: activity.ID{1},
			PeriodStart: 1795000000000000000, PeriodEnd: 1795000000000000000, Line: activity.ID{2},
			UsageStart: 1795000000000000000, UsageEnd: 1795000000000000000, LineAmount: money.MustParse("1234.5"),
		})
	}
	encoded := activity.Append(nil, &r)
	b.Run("append 100", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(encoded)))
		buffer := make([]byte, 0, len(encoded)+8)
		for b.Loop() {
			buffer = activity.Append(buffer[:0], &r)
		}
	})
	b.Run("decode 100", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(encoded)))
		var got activity.Record
		for b.Loop() {
			if err := activity.Decode(encoded, &got); err != nil {
				b.Fatal(err)
			}
		}
	})
}
