package activity_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
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
			Kind: activity.KindUsage, EventID: "e", EventTime: 1, Source: "s",
			Attributes: []activity.Attribute{{Name: "a", Value: "b"}},
			Quantity:   money.MustParse("0.000000000128"), Charge: money.MustParse("-0.000000000001"),
			Terms: &activity.Terms{
				Product: "p", Currency: "USD", RateAccount: "acme", RateID: "p", RateSeq: 5, ActivatedSeq: 64,
				PeriodStart: 1_795_000_000_000_000_000, PeriodEnd: 1_795_000_000_000_000_001,
				UsageStart: 1_795_000_000_000_000_000, UsageEnd: 1_795_000_000_001_000_001,
			},
			Target: &activity.Target{Account: "acme", Billed: "b", Group: []activity.Attribute{{Name: "a", Value: "s"}}, Line: activity.ID{0xff}},
		}},
		Rejected: []activity.Rejected{{EventIndex: 1, Reason: "no_rate"}},
	}
	r.Activities[0].Extra = &activity.Extra{
		EventPackage: "b", Amount: money.MustParse("-2"), HasAmount: true, AmountCurrency: "JPY",
		AmountExchange: activity.Exchange{Rate: money.MustParse("0.005"), Date: 20777},
	}
	again := r.Activities[0]
	again.Terms, again.Target = &activity.Terms{}, &activity.Target{}
	*again.Terms, *again.Target = *r.Activities[0].Terms, *r.Activities[0].Target // equal, not the same
	again.EventID, again.EventTime = "f", 1_000_001
	again.Extra = &activity.Extra{Amount: money.One, HasAmount: true, AmountCurrency: "JPY", AmountExchange: r.Activities[0].Extra.AmountExchange}
	third := again
	third.EventID, third.Extra = "g", &activity.Extra{Corrects: activity.EventName{Source: "s", ID: "e"}, CorrectsBelow: 300}
	third.Terms = &activity.Terms{}
	*third.Terms = *again.Terms
	third.Terms.RateCurrency, third.Terms.RateExchange = "JPY", activity.Exchange{Rate: money.One, Date: -1}
	r.Activities = append(r.Activities, again, third)
	zeros := strings.Repeat("00", 15)
	want := "04" + "ac02" + "da04" + "01" + "0200000000000000" + "03" + // format, offset, 301 in zigzag, version, log time, duplicates
		"03" + "01" + "02" + "01" + "07" + "04" + "03" + // 3 activities, 1 rejected, 2 terms, 1 target, texts s, b, a, p, USD, JPY, no_rate; 4 attributes; 3 extras
		"31" + "00" + "0165" + "0373" + // kind 1, new target, extra; new terms; e; text s
		"04" + "0461636d65" + "0362" + "0361" + "00" + zeros + "00" + "ff" + zeros + // 1 group; acme; text b; text a, text 0; ids
		"01" + "0370" + "01" + "07555344" + "01" + "01" + "06" + "0a" + "01" + "8001" + // "", p, "", USD, ""; the account; text 3; 5; ""; 64
		"83d8e1fe6a" + "10" + "03" + "12" + "01" + // 1795000000 s, 1 ns, 0, 1 ms; no other currency
		"08" + "01" + "04" + "02" + "8010" + "11" + "00" + // −1 ns; 1 attribute, texts 2 and 1; 128, −1, 0
		"07" + "02" + "29" + "074a5059" + "00" + "56" + "d2c402" + // package b; −2 · 1000^4 JPY; new: 5 · 1000^3 · 10^-12, 41554 = 2 · 20777
		"2d" + "00" + "01" + "0166" + "12" + "02" + "8010" + "11" + "00" + // as before but the target; 0; 0 + 1; f; 1 ms; text 1
		"06" + "18" + "0a" + "01" + // 1 JPY (text 5), the exchange one back
		"2d" + "00" + "00" + "0167" + // target 0, new terms
		"01" + "06" + "01" + "08" + "01" + "01" + "06" + "0a" + "01" + "8001" + "83d8e1fe6a" + "10" + "03" + "12" + // as the others
		"0a" + "18" + "01" + // in JPY at 1 on the day before 1970
		"03" + "02" + "8010" + "11" + "00" + // 0 s after; text 1
		"18" + "00" + "0165" + "ac02" + // corrects e of text 0 below 300
		"01" + "0f6e6f5f72617465" + "00" + "01" + "18" + "01" // 1; text no_rate; ""; ""; −2 ns; ""
	if got := hex.EncodeToString(activity.Append(nil, &r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What was published in the formats before is still read, and says nothing of what they did not have.
func TestDecodeTheFormatsBefore(t *testing.T) {
	corrects := activity.EventName{Source: "s", ID: "d"}
	for format, c := range map[byte]struct{ has, lacks activity.Extra }{
		2: {activity.Extra{EventPackage: "starter"}, activity.Extra{Corrects: corrects}},
		3: {activity.Extra{EventPackage: "starter", Corrects: corrects}, activity.Extra{Corrects: corrects, CorrectsBelow: 1}},
	} {
		a := use(1, "e", "acme")
		a.Extra = &c.has
		want := activity.Record{Offset: 5, Previous: 4, Activities: []activity.Activity{a}}
		b := activity.Append(nil, &want)
		b[0] = format
		var got activity.Record
		if err := activity.Decode(b, &got); err != nil || !reflect.DeepEqual(got.Activities, want.Activities) {
			t.Errorf("format %d: %v %+v", format, err, got)
		}
		a.Extra = &c.lacks
		b = activity.Append(nil, &activity.Record{Offset: 5, Previous: 4, Activities: []activity.Activity{a}})
		b[0] = format
		if err := activity.Decode(b, &got); !errors.Is(err, activity.ErrMalformed) {
			t.Errorf("format %d with %+v: %v", format, c.lacks, err)
		}
	}
}

// What was published before there were extras is still read: TestAppendBytes as it was then.
func TestDecodeTheFormatBefore(t *testing.T) {
	zeros := strings.Repeat("00", 15)
	written := "01" + "ac02" + "da04" + "01" + "0200000000000000" + "03" + // format, offset, 301 in zigzag, version, log time, duplicates
		"02" + "01" + "01" + "01" + "06" + "03" + // 2 activities, 1 rejected, 1 terms, 1 target, texts s, b, a, p, USD, no_rate; 3 attributes
		"11" + "00" + "0165" + "0373" + // kind 1, new target; new terms; e; text s
		"04" + "0461636d65" + "0362" + "0361" + "00" + zeros + "00" + "ff" + zeros + // 1 group; acme; text b; text a, text 0; ids
		"01" + "0370" + "01" + "07555344" + "01" + "01" + "06" + "0a" + "01" + "8001" + // "", p, "", USD, ""; the account; text 3; 5; ""; 64
		"83d8e1fe6a" + "10" + "03" + "12" + // 1795000000 s, 1 ns, 0, 1 ms
		"08" + "01" + "04" + "02" + "8010" + "11" + "00" + // −1 ns; 1 attribute, texts 2 and 1; 128, −1, 0
		"0d" + "00" + "01" + "0166" + "12" + "02" + "8010" + "11" + "00" + // as before but the target; 0; 0 + 1; f; 1 ms; text 1
		"01" + "0f6e6f5f72617465" + "00" + "01" + "18" + "01" // 1; text no_rate; ""; ""; −2 ns; ""
	b, err := hex.DecodeString(written)
	if err != nil {
		t.Fatal(err)
	}
	var got activity.Record
	if err := activity.Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Activities) != 2 || got.Activities[1].EventID != "f" || got.Activities[1].Sent() != (activity.Extra{}) || len(got.Rejected) != 1 {
		t.Fatalf("got %+v", got)
	}
	terms := *got.Activities[0].Terms
	if want := (activity.Terms{
		Product: "p", Currency: "USD", RateAccount: "acme", RateID: "p", RateSeq: 5, ActivatedSeq: 64,
		PeriodStart: 1_795_000_000_000_000_000, PeriodEnd: 1_795_000_000_000_000_001,
		UsageStart: 1_795_000_000_000_000_000, UsageEnd: 1_795_000_000_001_000_001,
	}); terms != want || got.Activities[1].Terms != got.Activities[0].Terms {
		t.Errorf("terms %+v, want %+v", terms, want)
	}
	if h, err := activity.DecodeHeader(b); err != nil || h.Offset != 300 {
		t.Errorf("header %+v, %v", h, err)
	}
	if b[21] != 0x11 {
		t.Fatal("the body does not begin there")
	}
	b[21] |= 0x20 // an extra, which the format does not know
	if err := activity.Decode(b, &got); !errors.Is(err, activity.ErrMalformed) {
		t.Errorf("damaged: %v", err)
	}
}

// A record has an exchange a currency and day: far ones are written again.
func TestManyExchanges(t *testing.T) {
	r := activity.Record{Offset: 1}
	for i := range 200 {
		a := use(1, "e", "acme")
		a.Index, a.Extra = i, &activity.Extra{Amount: money.One, HasAmount: true, AmountCurrency: "JPY",
			AmountExchange: activity.Exchange{Rate: money.One, Date: money.Date(i * 7 % 11)}}
		r.Activities = append(r.Activities, a)
	}
	var got activity.Record
	if err := activity.Decode(activity.Append(nil, &r), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Activities, r.Activities) {
		t.Error("another record came back")
	}
}

// use is an activity with little in it.
func use(kind activity.Kind, event, account string) activity.Activity {
	return activity.Activity{Kind: kind, EventID: event, Terms: &activity.Terms{Product: "p"}, Target: &activity.Target{Account: account, Billed: account}}
}

func TestLongTexts(t *testing.T) {
	for _, n := range []int{0, 1, 62, 63, 64, 65, 100, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129, 16370, 16380, 16390, 1 << 21} {
		r := activity.Record{Offset: 1, Activities: []activity.Activity{
			use(1, strings.Repeat("x", n), strings.Repeat("y", n)), use(2, "", "z")}}
		r.Activities[1].Index, r.Activities[0].Source = 1, strings.Repeat("z", n)
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
	good := activity.Append(nil, &activity.Record{Offset: 5, Previous: 4, Version: 1, LogTime: 9, Activities: []activity.Activity{use(1, "e", "acme")}})
	header := []byte{4, 5, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 0}              // up to the duplicates
	counts := func(n ...byte) []byte { return slices.Concat(header, n) } // activities, rejected, terms, targets, texts, attributes, extras
	if !bytes.HasPrefix(good, counts(1, 0, 1, 1, 1, 0, 0)) {
		t.Fatalf("%x does not begin as the cases do", good)
	}
	body := good[len(header)+7:]
	with := func(at int, b ...byte) []byte { // the record with other bytes at a place of its body
		return slices.Concat(counts(1, 0, 1, 1, 1, 0, 0), body[:at], b, body[at+len(b):])
	}
	tests := map[string][]byte{
		"nothing":                  {},
		"another format":           append([]byte{5}, good[1:]...),
		"an extra more":            slices.Concat(counts(1, 0, 1, 1, 1, 0, 1), body),
		"an extra unannounced":     with(0, 0x3d),
		"cut in a varint":          {4, 0x80},
		"cut in the log time":      good[:9],
		"version past 32 bits":     {4, 5, 2, 0xff, 0xff, 0xff, 0xff, 0x1f, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"more activities":          slices.Concat(counts(2, 0, 1, 1, 1, 0, 0), body),
		"a rejected event more":    slices.Concat(counts(1, 1, 1, 1, 1, 0, 0), body),
		"more terms":               slices.Concat(counts(1, 0, 2, 1, 1, 0, 0), body),
		"no terms":                 slices.Concat(counts(1, 0, 0, 1, 1, 0, 0), body),
		"no target":                slices.Concat(counts(1, 0, 1, 0, 1, 0, 0), body),
		"more texts":               slices.Concat(counts(1, 0, 1, 1, 2, 0, 0), body),
		"no text":                  slices.Concat(counts(1, 0, 1, 1, 0, 0, 0), body),
		"more attributes":          slices.Concat(counts(1, 0, 1, 1, 1, 1, 0), body),
		"something behind":         append(bytes.Clone(good), 0),
		"no kind":                  with(0, 0x1c),
		"kind 3":                   with(0, 0x1f),
		"unknown flag":             with(0, 0x5d),
		"target that is not there": with(0, 0x0d),
		"terms that are not there": with(1, 1),
		"huge length":              with(2, 0xff),
		"unknown unit of a span":   with(len(body)-5, 0x85, 1),
		"decimal with factor 5":    with(len(body)-1, 0x1a),
		"too many activities":      append(slices.Concat(header, []byte{0x81, 0x20, 0, 1, 1, 0, 0, 0}), make([]byte, 40_000)...),
	}
	for n := range good {
		tests[fmt.Sprintf("cut after %d bytes", n)] = good[:n]
	}
	for name, b := range tests {
		var r activity.Record
		if err := activity.Decode(b, &r); !errors.Is(err, activity.ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestDecodeForgetsTheRecordBefore(t *testing.T) {
	first := activity.Append(nil, &activity.Record{Offset: 1, Duplicates: 2,
		Activities: []activity.Activity{use(1, "e", "a"), use(1, "f", "b")}, Rejected: []activity.Rejected{{Reason: "no_rate"}}})
	second := activity.Append(nil, &activity.Record{Offset: 2, Activities: []activity.Activity{use(2, "", "c")}})
	var r activity.Record
	if err := activity.Decode(first, &r); err != nil {
		t.Fatal(err)
	}
	if r.Activities[0].Account != "a" {
		t.Errorf("got %+v", r)
	}
	kept := r.Activities[0]
	if err := activity.Decode(second, &r); err != nil {
		t.Fatal(err)
	}
	if want := use(1, "e", "a"); !reflect.DeepEqual(kept, want) {
		t.Errorf("an activity that was kept is now %+v", kept)
	}
	want := []activity.Activity{use(2, "", "c")}
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

func anyExchange(t *rapid.T) activity.Exchange {
	rate := anyDecimal(t, "exchange rate")
	if rate.IsZero() {
		rate = money.One
	}
	return activity.Exchange{Rate: rate, Date: money.Date(rapid.OneOf(rapid.Int32Range(20_000, 20_003), rapid.Int32()).Draw(t, "date"))}
}

func anyRecord(t *rapid.T) activity.Record {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "acme", "eu", "region"}), rapid.String())
	instant := rapid.OneOf(rapid.Int64(), rapid.Map(rapid.Int64Range(-1e9, 4e9), func(s int64) int64 { return s * 1e9 }))
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
	var shared []activity.Activity // what activities have in common: the same or, which must not show, a copy
	for range rapid.IntRange(1, 3).Draw(t, "shared") {
		terms := &activity.Terms{
			Seller: text.Draw(t, "seller"), Product: text.Draw(t, "product"), Package: text.Draw(t, "package"), Currency: text.Draw(t, "currency"),
			Level: text.Draw(t, "level"), RateAccount: text.Draw(t, "rate account"), RateID: text.Draw(t, "rate"),
			RateSeq: instant.Draw(t, "seq"), RateModel: text.Draw(t, "model"), ActivatedSeq: instant.Draw(t, "activated"),
			PeriodStart: instant.Draw(t, "start"), PeriodEnd: instant.Draw(t, "end"),
			UsageStart: instant.Draw(t, "usage start"), UsageEnd: instant.Draw(t, "usage end"),
		}
		if terms.RateCurrency = text.Draw(t, "rate currency"); terms.RateCurrency != "" {
			terms.RateExchange = anyExchange(t)
		}
		target := &activity.Target{
			Account: text.Draw(t, "account"), Billed: text.Draw(t, "billed"), Group: attributes("group"),
			Invoice: id("invoice"), Line: id("line"),
		}
		if rapid.Bool().Draw(t, "plain") {
			target.Plain = true
			target.Invoice = activity.InvoiceID(terms.Seller, target.Billed, terms.PeriodStart)
			family := activity.FamilyID(terms.Seller, target.Account, terms.Product, terms.Package, target.Group, target.Billed, terms.UsageStart)
			target.Line = activity.LineID(family, target.Invoice)
			if !target.Follows(terms) {
				t.Fatal("the ids do not follow")
			}
		}
		shared = append(shared, activity.Activity{Terms: terms, Target: target})
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "activities") {
		a := rapid.SampledFrom(shared).Draw(t, "of")
		if rapid.Bool().Draw(t, "copy") {
			terms, target := *a.Terms, *a.Target
			a.Terms, a.Target = &terms, &target
		}
		a.Kind, a.Index = activity.Kind(rapid.IntRange(1, 2).Draw(t, "kind")), i
		a.EventID, a.Source, a.EventTime = text.Draw(t, "event"), text.Draw(t, "source"), instant.Draw(t, "time")
		a.Attributes = attributes("attributes")
		a.Quantity, a.Charge, a.LineAmount = anyDecimal(t, "quantity"), anyDecimal(t, "charge"), anyDecimal(t, "line amount")
		if rapid.Bool().Draw(t, "extra") {
			a.Extra = &activity.Extra{EventPackage: text.Draw(t, "event package")}
			if a.Extra.HasAmount = rapid.Bool().Draw(t, "has amount"); a.Extra.HasAmount {
				a.Extra.Amount, a.Extra.AmountCurrency = anyDecimal(t, "amount"), text.Draw(t, "amount currency")
			}
			if rapid.Bool().Draw(t, "exchanged") {
				a.Extra.AmountExchange = anyExchange(t)
			}
			if rapid.Bool().Draw(t, "corrects") {
				a.Extra.Corrects = activity.EventName{Source: text.Draw(t, "corrected source"), ID: "x" + text.Draw(t, "corrected id")}
				a.Extra.CorrectsBelow = rapid.Int64Min(0).Draw(t, "corrected below")
			}
		}
		r.Activities = append(r.Activities, a)
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
	var encoder activity.Encoder // across all draws: nothing of one record may show in the next
	var got activity.Record
	rapid.Check(t, func(t *rapid.T) {
		r := anyRecord(t)
		b := activity.Append(nil, &r)
		if !bytes.Equal(encoder.Append(nil, &r), b) {
			t.Fatal("an encoder that was used before writes other bytes")
		}
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
	rich := use(2, "", "acme")
	rich.Target.Group, rich.Target.Line = []activity.Attribute{{Name: "n", Value: "v"}}, activity.ID{1}
	rich.Attributes, rich.Charge = []activity.Attribute{{Name: "n", Value: "w"}}, money.One.Neg()
	plain := use(1, "e", "sub")
	plain.Target.Billed, plain.Target.Plain = "acme", true
	paid, paidToo := use(1, "g", "acme"), use(1, "h", "acme")
	paid.Extra = &activity.Extra{EventPackage: "starter", Amount: money.One, HasAmount: true, AmountCurrency: "JPY",
		AmountExchange: activity.Exchange{Rate: money.MustParse("0.005"), Date: 20777}}
	paidToo.Extra = paid.Extra
	paid.Terms.RateCurrency, paid.Terms.RateExchange = "JPY", paid.Extra.AmountExchange
	f.Add(activity.Append(nil, &activity.Record{Offset: 8, Activities: []activity.Activity{paid, paidToo}}))
	f.Add(activity.Append(nil, &activity.Record{Offset: 7, Previous: 6, Version: 1, LogTime: 1,
		Activities: []activity.Activity{rich, plain, rich, use(1, "f", "acme")}, Rejected: []activity.Rejected{{Reason: "no_rate"}}}))
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

// BenchmarkCodec has the usual record of many accounts: each activity falls on another line, under one of four rates.
func BenchmarkCodec(b *testing.B) {
	r := activity.Record{Offset: 123456, Previous: 123455, Version: 1, LogTime: 1795000000000000000}
	var terms [4]activity.Terms
	for i := range terms {
		terms[i] = activity.Terms{
			Seller: "main", Product: fmt.Sprint("api-calls-", i), Currency: "USD", Level: "contract", RateAccount: "acme",
			RateID: fmt.Sprintf("contract:c-%d/api-calls@2026-01-01", i), RateSeq: 17, RateModel: "graduated", ActivatedSeq: 30,
			PeriodStart: 1795000000000000000, PeriodEnd: 1797592000000000000, UsageStart: 1795000000000000000, UsageEnd: 1797592000000000000,
		}
	}
	for i := range 100 {
		account := fmt.Sprintf("acct-%05d", i*7919%10_000)
		a := activity.Activity{
			Kind: 1, Index: i, EventID: fmt.Sprintf("e-%09d", i), Source: "gateway-7", EventTime: 1795000000000000000 + int64(i)*37_000_000,
			Attributes: []activity.Attribute{{Name: "region", Value: "eu"}},
			Quantity:   money.MustParse("3"), Charge: money.MustParse("0.3"), LineAmount: money.MustParse("1234.5"),
			Terms:  &terms[i%len(terms)],
			Target: &activity.Target{Account: account, Billed: account, Plain: true},
		}
		a.Invoice = activity.InvoiceID(a.Seller, a.Billed, a.PeriodStart)
		a.Line = activity.LineID(activity.FamilyID(a.Seller, account, a.Product, "", nil, account, a.UsageStart), a.Invoice)
		r.Activities = append(r.Activities, a)
	}
	encoded := activity.Append(nil, &r)
	b.Run("append 100", func(b *testing.B) {
		b.ReportAllocs()
		var encoder activity.Encoder
		buffer := make([]byte, 0, len(encoded)+64)
		for b.Loop() {
			buffer = encoder.Append(buffer[:0], &r)
		}
		b.ReportMetric(float64(len(encoded))/100, "bytes/activity")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/activity")
	})
	b.Run("decode 100", func(b *testing.B) {
		b.ReportAllocs()
		var got activity.Record
		for b.Loop() {
			if err := activity.Decode(encoded, &got); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/activity")
	})
}
