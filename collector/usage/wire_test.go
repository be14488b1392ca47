package usage

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
)

func sampleEvent() Event {
	return Event{
		ID: "e-1", Source: "gateway-7", Account: "acme", RoutingKey: "acme", Product: "api-calls",
		Time: 1_795_255_200_000_000_000, Quantity: money.MustParse("3"), Hash: 0x0102030405060708,
		Attributes: []Attribute{{"region", "eu"}},
	}
}

// TestWireGolden pins the bytes: a change of the format must be seen in review.
func TestWireGolden(t *testing.T) {
	r := Record{Kind: KindBatch, Events: []Event{sampleEvent()}}
	got := hex.EncodeToString(AppendRecord(nil, &r))
	want := "0801" + // kind: batch
		"1249" + // events, 5+11+6+11+9+8+14+9 = 73 bytes
		"0a03652d31" + "1209676174657761792d37" + "1a0461636d65" + "32096170692d63616c6c73" + // id, source, account, product
		"4100402cbd1707ea18" + // time
		"4a0602ba7def3000" + // 3·10^12
		"620c0a06726567696f6e12026575" + // region: eu
		"690807060504030201" // hash
	if got != want {
		t.Fatalf("wire form\n got %s\nwant %s", got, want)
	}
}

func TestWireRoundTrip(t *testing.T) {
	full := sampleEvent()
	full.Account, full.Subject, full.RoutingKey = "a-9", "+4930123", "root-1"
	full.Package, full.Currency, full.HasAmount, full.Backfill = "starter", "EUR", true, true
	full.Quantity = money.MustParse("-1000000000000000")
	corrects := sampleEvent()
	corrects.Corrects = &EventName{"gateway-8", "e-0"}
	unresolved := sampleEvent()
	unresolved.Account, unresolved.Subject, unresolved.RoutingKey = "", "nobody", UnresolvedKey("nobody")
	one := sampleEvent()
	one.Quantity, one.Attributes = money.One, nil
	alike := func(source, name, value string) Event {
		e := one
		e.Source, e.Product, e.Package = source, value, name
		e.Attributes = []Attribute{{name, value}, {name + "b", source}}
		return e
	}
	long := strings.Repeat("l", 200)
	records := map[string]Record{
		"alike": {Kind: KindBatch, Events: []Event{
			alike("gw-7", "a", "x"), alike("gw-7", "a", "x"), alike("gw-8", "a", "xx"), alike("gw-8", "ab", "x"), alike("gw", "a", "ü"), alike(long, long, long),
			alike(long, long, long), one, alike("gw", "a", "ü"),
		}},
		"batch":   {Kind: KindBatch, Events: []Event{sampleEvent(), corrects, full, unresolved, one}},
		"retry":   {Kind: KindRetry, Events: []Event{full}},
		"seal":    {Kind: KindSeal, Seal: &Seal{Account: "acme", PeriodStart: -5, PeriodEnd: 7}},
		"sweep":   {Kind: KindSweep, Sweep: &Sweep{Seq: 12, Families: [][16]byte{{1, 2}, {15: 3}}}},
		"marker":  {Kind: KindMarker, Marker: &Marker{Account: "acme", Seq: 12, Attempt: 300}},
		"nothing": {Kind: KindResult, Result: &Result{Account: "acme", Seq: 1, Attempt: 1, At: 9, Part: 1, Parts: 1}},
		"result":  {Kind: KindResult, Result: sampleResult()},
		"values":  {Kind: KindValues, Values: sampleValues()},
		"all":     {Kind: KindDefinitions, Definitions: &Definitions{From: 1, To: 1, All: true}},
		"changed": {Kind: KindDefinitions, Definitions: &Definitions{From: 3, To: 4, PreviousHash: 1, Hash: 2, Links: []uint64{0, 2}, Changed: []DefinitionRef{{3, "contract", "c-1", "acme"}, {4, "product", "p", ""}}}},
	}
	for name, want := range records {
		b := AppendRecord(nil, &want)
		var got Record
		if err := Decode(b, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := AppendRecord(nil, &got); !bytes.Equal(b, again) {
			t.Errorf("%s: encodes differently after decoding", name)
		}
		for i := range got.Events {
			if len(got.Events[i].Attributes) == 0 {
				got.Events[i].Attributes = nil
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

func sampleValues() *Values {
	return &Values{
		Account: "acme", Seq: 7, Attempt: 2, At: 1 << 40, Family: [16]byte{1}, Set: [16]byte{15: 2},
		Values: []Value{{Hash: [16]byte{3}, Places: 1}, {Places: 1 << 31}},
	}
}

func sampleResult() *Result {
	correction := sampleEvent()
	correction.Corrects = &EventName{"gateway-7", "e-0"}
	return &Result{
		Account: "acme", Seq: 7, Attempt: 2, At: 1 << 40, Part: 16, Parts: 16,
		Lines: []ResultLine{
			{
				Product: "api-calls", Package: "starter", Seller: "main", Currency: "EUR", Owed: "acme", Billed: "root",
				Group: []Attribute{{"zone", "b"}, {"region", ""}}, UsageStart: -5, UsageEnd: 7, PeriodStart: 7, PeriodEnd: 9,
				Quantity: money.MustParse("-0.5"), Events: 3, Segments: []byte{1, 0}, RateLevel: "contract", RateAccount: "root", RateID: "contract:c-1/x", RateModel: "graduated",
			},
			{Product: "p", Owed: "acme", Billed: "acme", UsageEnd: 1, PeriodEnd: 1},
		},
		Corrections: []Correction{
			{Product: "p", Seller: "main", Currency: "EUR", Owed: "acme", Billed: "root", UsageStart: 1, UsageEnd: 2, PeriodStart: 1, PeriodEnd: 2, Amount: money.MustParse("-3.25")},
			{Product: "p", Owed: "acme", Billed: "acme", UsageEnd: 2, PeriodEnd: 2},
		},
		Answers: []Answer{
			{Offset: 9, Index: 255, Event: correction, Line: ResultLine{Product: "p", Owed: "acme", Billed: "root", UsageEnd: 2, PeriodEnd: 2, Quantity: money.MustParse("0.5"), Events: 1}},
			{Event: correction, Reason: "correction_unknown"},
		},
	}
}

// TestDecodeRefuses takes valid bytes and breaks each rule of the canonical form.
func TestDecodeRefuses(t *testing.T) {
	event := func(change func(*Event)) []byte {
		e := sampleEvent()
		change(&e)
		return AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{e}})
	}
	result := func(change func(*Result)) []byte {
		r := sampleResult()
		change(r)
		return AppendRecord(nil, &Record{Kind: KindResult, Result: r})
	}
	values := func(change func(*Values)) []byte {
		v := sampleValues()
		change(v)
		return AppendRecord(nil, &Record{Kind: KindValues, Values: v})
	}
	big := strings.Repeat("x", MaxEventBytes)
	many := Record{Kind: KindBatch}
	for range MaxBatchEvents + 1 {
		many.Events = append(many.Events, sampleEvent())
	}
	valid := AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{sampleEvent()}})
	cases := map[string][]byte{
		"empty":                 {},
		"kind only":             {0x08, 1},
		"unknown kind":          {0x08, 9},
		"kind not shortest":     append([]byte{0x08, 0x81, 0}, valid[2:]...),
		"two kinds":             append([]byte{0x08, 1}, valid...),
		"unknown field":         append(bytes.Clone(valid), 0x40, 1),
		"torn":                  valid[:len(valid)-1],
		"trailing byte":         append(bytes.Clone(valid), 0),
		"length past the end":   {0x08, 1, 0x12, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"no id":                 event(func(e *Event) { e.ID = "" }),
		"no source":             event(func(e *Event) { e.Source = "" }),
		"no product":            event(func(e *Event) { e.Product = "" }),
		"no routing key":        event(func(e *Event) { e.Account, e.RoutingKey, e.Subject = "", "", "x" }),
		"no account or subject": event(func(e *Event) { e.Account, e.RoutingKey = "", "?1" }),
		"broken utf-8":          event(func(e *Event) { e.ID = "\xff" }),
		"nul":                   event(func(e *Event) { e.ID = "a\x00" }),
		"attributes unsorted":   event(func(e *Event) { e.Attributes = []Attribute{{"b", ""}, {"a", ""}} }),
		"attribute twice":       event(func(e *Event) { e.Attributes = []Attribute{{"a", "1"}, {"a", "2"}} }),
		"corrects no id":        event(func(e *Event) { e.Corrects = &EventName{Source: "s"} }),
		"corrects no source":    event(func(e *Event) { e.Corrects = &EventName{ID: "e"} }),
		"event too large":       event(func(e *Event) { e.Product = big }),
		"too many events":       AppendRecord(nil, &many),
		"no definitions":        AppendRecord(nil, &Record{Kind: KindDefinitions}),
		"range backwards":       AppendRecord(nil, &Record{Kind: KindDefinitions, Definitions: &Definitions{From: 2, To: 1}}),
		"empty period":          AppendRecord(nil, &Record{Kind: KindSeal, Seal: &Seal{Account: "a", PeriodStart: 4, PeriodEnd: 4}}),
		"sweep of nothing":      AppendRecord(nil, &Record{Kind: KindSweep, Sweep: &Sweep{Seq: 1}}),
		"sweep of too much":     AppendRecord(nil, &Record{Kind: KindSweep, Sweep: &Sweep{Seq: 1, Families: make([][16]byte, MaxSweepFamilies+1)}}),
		"sweep for nothing":     AppendRecord(nil, &Record{Kind: KindSweep, Sweep: &Sweep{Families: make([][16]byte, 1)}}),
		"marker of nobody":      AppendRecord(nil, &Record{Kind: KindMarker, Marker: &Marker{Seq: 1, Attempt: 1}}),
		"marker attempt 0":      AppendRecord(nil, &Record{Kind: KindMarker, Marker: &Marker{Account: "a", Seq: 1}}),
		"result part 0":         result(func(r *Result) { r.Part = 0 }),
		"result part 17":        result(func(r *Result) { r.Part, r.Parts = 17, 17 }),
		"result part behind":    result(func(r *Result) { r.Parts = 15 }),
		"result of nobody":      result(func(r *Result) { r.Account = "" }),
		"result of too much":    result(func(r *Result) { r.Lines = slices.Repeat(r.Lines, 129) }),
		"result without owed":   result(func(r *Result) { r.Lines[0].Owed = "" }),
		"result without period": result(func(r *Result) { r.Lines[0].UsageEnd = -5 }),
		"result without name":   result(func(r *Result) { r.Lines[0].Group[0].Name = "" }),
		"answer to no question": result(func(r *Result) { r.Answers[0].Event.Corrects = nil }),
		"answer of nothing":     result(func(r *Result) { r.Answers[0].Line = ResultLine{} }),
		"answer past a batch":   result(func(r *Result) { r.Answers[0].Index = MaxBatchEvents }),
		"too many answers":      result(func(r *Result) { r.Answers = slices.Repeat(r.Answers, 33) }),
		"values of nobody":      values(func(v *Values) { v.Account = "" }),
		"values of no line":     values(func(v *Values) { v.Family = [16]byte{} }),
		"values of no set":      values(func(v *Values) { v.Set = [16]byte{} }),
		"no values":             values(func(v *Values) { v.Values = nil }),
		"too many values":       values(func(v *Values) { v.Values = slices.Repeat(v.Values, MaxValues/2+1) }),
		"value in no place":     values(func(v *Values) { v.Values[1].Places = 0 }),
		"marker in a result":    AppendRecord(nil, &Record{Kind: KindResult, Result: sampleResult(), Marker: &Marker{Account: "a", Seq: 1, Attempt: 1}}),
		"seal in a batch":       AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{sampleEvent()}, Seal: &Seal{Account: "a", PeriodEnd: 4}}),
	}
	for name, b := range cases {
		var r Record
		if err := Decode(b, &r); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// TestTextsAreCheckedWhole puts each kind of byte that matters at every place of strings of many lengths.
func TestTextsAreCheckedWhole(t *testing.T) {
	for n := 1; n < 40; n++ {
		for at := range n {
			for c, ok := range map[string]bool{"\x01": true, "\x7f": true, "\x00": false, "\x80": false, "\xff": false, "é": true} {
				e := sampleEvent()
				e.ID = strings.Repeat("\x01", at) + c + strings.Repeat("a", n-at-1)
				var r Record
				err := Decode(AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{e}}), &r)
				if (err == nil) != ok || ok && r.Events[0].ID != e.ID {
					t.Errorf("%q: %v", e.ID, err)
				}
			}
		}
	}
}

func TestDecodedEventsOutliveTheirBytes(t *testing.T) {
	e := sampleEvent()
	e.Subject, e.Package, e.Currency, e.RoutingKey = "subject", "starter", "EUR", "root"
	b := AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{e}})
	var copied, inPlace Record
	if err := errors.Join(Decode(b, &copied), DecodeInPlace(b, &inPlace)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(inPlace, copied) {
		t.Errorf("in place %+v, copied %+v", inPlace, copied)
	}
	kept := inPlace.Events[0].Clone()
	for i := range b {
		b[i] = 'x'
	}
	if !reflect.DeepEqual(copied.Events[0], e) || !reflect.DeepEqual(kept, e) {
		t.Errorf("copied %+v, kept %+v", copied.Events[0], kept)
	}
	if reflect.DeepEqual(inPlace.Events[0], e) {
		t.Error("decoding in place made a copy")
	}
}

func TestDecimalWireIsMinimal(t *testing.T) {
	for _, text := range []string{"0", "0.000000000127", "0.000000000128", "-0.000000000001", "-0.000000000128", "-0.000000000129", "1000000000000000", "-1000000000000000", "99999999999999999999999999"} {
		d := money.MustParse(text)
		b := appendDecimal(nil, eventQuantity, d)
		if len(b) != sizeDecimal(d) {
			t.Errorf("%s: size %d, said %d", text, len(b), sizeDecimal(d))
		}
		if back, ok := decimalOf(b[2:]); !ok || back != d {
			t.Errorf("%s: came back as %s, %v", text, back, ok)
		}
		padded := append([]byte{byte(int8(-boolInt(d.Sign() < 0)))}, b[2:]...)
		if _, ok := decimalOf(padded); ok {
			t.Errorf("%s: a longer form was taken", text)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func genEvent(t *rapid.T) Event {
	word := rapid.StringMatching(`[a-zé界]{1,12}`)
	maybe := rapid.OneOf(rapid.Just(""), word)
	e := Event{
		ID: word.Draw(t, "id"), Source: word.Draw(t, "source"), Account: maybe.Draw(t, "account"),
		Subject: word.Draw(t, "subject"), Product: word.Draw(t, "product"), Package: maybe.Draw(t, "package"),
		RoutingKey: word.Draw(t, "key"), Time: rapid.Int64().Draw(t, "time"), Hash: rapid.Uint64().Draw(t, "hash"),
		Currency: maybe.Draw(t, "currency"), Backfill: rapid.Bool().Draw(t, "backfill"),
		Quantity: money.FromInt(rapid.Int64Range(-1e15, 1e15).Draw(t, "quantity")),
	}
	if e.HasAmount = rapid.Bool().Draw(t, "has"); e.HasAmount {
		e.Amount, _ = money.Parse(rapid.StringMatching(`-?[0-9]{1,10}\.[0-9]{1,12}`).Draw(t, "amount"))
	}
	if rapid.Bool().Draw(t, "corrects") {
		e.Corrects = &EventName{word.Draw(t, "corrected source"), word.Draw(t, "corrected id")}
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "attributes") {
		e.Attributes = append(e.Attributes, Attribute{string(rune('a'+i)) + maybe.Draw(t, "name"), maybe.Draw(t, "value")})
	}
	return e
}

func TestWireProperty(t *testing.T) {
	var reused Record // across all draws: nothing of one record may show in the next
	rapid.Check(t, func(t *rapid.T) {
		r := Record{Kind: KindBatch}
		size := KindSize
		for range rapid.IntRange(1, 20).Draw(t, "events") {
			e := genEvent(t)
			r.Events = append(r.Events, e)
			size += e.Size()
		}
		b := AppendRecord(nil, &r)
		if len(b) != size {
			t.Fatalf("%d bytes, Size said %d", len(b), size)
		}
		if err := Decode(b, &reused); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(AppendRecord(nil, &reused), b) {
			t.Fatal("encodes differently after decoding")
		}
		for i := range r.Events {
			if r.Events[i].Identity() != reused.Events[i].Identity() {
				t.Fatal("identity changed on the way")
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	e := sampleEvent()
	f.Add(AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{e, e}}))
	f.Add(AppendRecord(nil, &Record{Kind: KindResult, Result: sampleResult()}))
	f.Add(AppendRecord(nil, &Record{Kind: KindSweep, Sweep: &Sweep{Seq: 3, Families: make([][16]byte, 2)}}))
	f.Add(AppendRecord(nil, &Record{Kind: KindMarker, Marker: &Marker{Account: "acme", Seq: 3, Attempt: 1}}))
	f.Add(AppendRecord(nil, &Record{Kind: KindSeal, Seal: &Seal{Account: "acme", PeriodEnd: 7}}))
	f.Add(AppendRecord(nil, &Record{Kind: KindDefinitions, Definitions: &Definitions{From: 3, To: 4, Links: []uint64{1, 2}, Changed: []DefinitionRef{{3, "contract", "c", "a"}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		if Decode(b, &r) != nil {
			return
		}
		if again := AppendRecord(nil, &r); !bytes.Equal(again, b) {
			t.Fatalf("decoded %x encodes to %x", b, again)
		}
	})
}

func TestIdentity(t *testing.T) {
	a := Event{RoutingKey: "ab", Source: "c", ID: "d"}
	b := Event{RoutingKey: "a", Source: "bc", ID: "d"}
	if a.Identity() == b.Identity() {
		t.Error("moving a letter over the border of two parts keeps the identity")
	}
	// Pinned: duplicates are recognised by it across releases.
	if got := hex.EncodeToString(identitySlice(a)); got != goldenIdentity {
		t.Errorf("identity %s, want %s", got, goldenIdentity)
	}
	if got := PartitionOf("acme", 256); got != goldenPartition {
		t.Errorf("partition %d, want %d", got, goldenPartition)
	}
	if got := UnresolvedKey("nobody"); got != goldenUnresolved {
		t.Errorf("key %s, want %s", got, goldenUnresolved)
	}
	if n := testing.AllocsPerRun(100, func() { a.Identity() }); n != 0 {
		t.Errorf("identity allocates %v times", n)
	}
}

func identitySlice(e Event) []byte {
	id := e.Identity()
	return id[:]
}

func TestHashOf(t *testing.T) {
	base := Sent{Account: "a", Product: "p"}
	same := base
	same.ID, same.Source, same.Index = "x", "y", 7
	if HashOf(&base) != HashOf(&same) {
		t.Error("id, source or index count")
	}
	if HashOf(&base) != goldenHash {
		t.Errorf("hash %x, want %x", HashOf(&base), uint64(goldenHash))
	}
	other := map[string]func(*Sent){
		"default quantity written out": func(s *Sent) { s.Quantity, s.HasQuantity = money.One, true },
		"time":                         func(s *Sent) { s.HasTime = true },
		"amount":                       func(s *Sent) { s.HasAmount = true },
		"currency":                     func(s *Sent) { s.Currency = "EUR" },
		"package":                      func(s *Sent) { s.Package = "k" },
		"attribute":                    func(s *Sent) { s.Attributes = []Attribute{{"a", ""}} },
		"letters moved":                func(s *Sent) { s.Account, s.Product = "ap", "" },
		"corrects":                     func(s *Sent) { s.Corrects = &EventName{ID: "ab"} },
		"corrects of a source":         func(s *Sent) { s.Corrects = &EventName{Source: "a", ID: "b"} },
	}
	seen := map[uint64]string{HashOf(&base): "base"}
	for name, change := range other {
		s := base
		change(&s)
		if was, ok := seen[HashOf(&s)]; ok {
			t.Errorf("%s: same hash as %s", name, was)
		}
		seen[HashOf(&s)] = name
	}
}

func BenchmarkDecode(b *testing.B) {
	r := Record{Kind: KindBatch}
	for range 100 {
		r.Events = append(r.Events, sampleEvent())
	}
	wire := AppendRecord(nil, &r)
	var into Record
	b.ReportAllocs()
	b.SetBytes(int64(len(wire)))
	for b.Loop() {
		if err := DecodeInPlace(wire, &into); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func BenchmarkEncode(b *testing.B) {
	e := sampleEvent()
	buffer := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buffer = AppendEvent(buffer[:0], &e)
	}
}
