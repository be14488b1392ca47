package usage

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tollstream/tollstream/ledger/money"
)

func TestParseEvent(t *testing.T) {
	body := ` {"id": "e-1", "source": "gateway-7", "account": "acme", "product": "api-calls", "package": null,
 "time": "2026-11-21T10:00:00Z", "quantity": "3", "amount": 1.50, "currency": "EUR",
 "attributes": {"region": "eu", "a": 1.0, "ok": true, "none": null, "word": "a\u00e9\ud83d\ude00\n\"\/"}} `
	r, err := Parse(ShapeJSON, body)
	if err != nil || len(r.Refused) != 0 || len(r.Events) != 1 {
		t.Fatalf("%v %+v", err, r)
	}
	s := r.Events[0]
	want := fmt.Sprint([]Attribute{{"a", "1"}, {"ok", "true"}, {"region", "eu"}, {"word", "aé😀\n\"/"}})
	if got := fmt.Sprint(s.Attributes); got != want {
		t.Errorf("attributes %s, want %s", got, want)
	}
	if s.ID != "e-1" || s.Source != "gateway-7" || s.Account != "acme" || s.Product != "api-calls" || s.Package != "" || s.Currency != "EUR" {
		t.Errorf("names: %+v", s)
	}
	if s.Quantity != money.FromInt(3) || !s.HasQuantity || s.Amount != money.MustParse("1.5") || !s.HasAmount {
		t.Errorf("numbers: %+v", s)
	}
	if !s.HasTime || time.Unix(0, s.Time).UTC().Format(time.RFC3339) != "2026-11-21T10:00:00Z" {
		t.Errorf("time: %v", s.Time)
	}
	e := s.Event("key", 99)
	if e.Source != "gateway-7" || e.Time != s.Time || e.Hash != HashOf(&s) {
		t.Errorf("event: %+v", e)
	}
	bare, err := Parse(ShapeJSON, `{"id":"1","account":"a","product":"p"}`)
	if err != nil || len(bare.Events) != 1 {
		t.Fatal(err, bare)
	}
	if e := bare.Events[0].Event("key", 99); e.Source != "key" || e.Time != 99 || e.Quantity != money.One {
		t.Errorf("defaults: %+v", e)
	}
}

// The corrected event's source is the correction's own where it is not said.
func TestParseCorrections(t *testing.T) {
	for body, want := range map[string]EventName{
		event(`,"quantity":-1,"corrects":{"id":"d"}`):                                                                        {"key", "d"},
		event(`,"quantity":-1,"source":"s","corrects":{"id":"d","source":null}`):                                             {"s", "d"},
		event(`,"amount":-1,"currency":"EUR","corrects":{"source":"t","id":"e"}`):                                            {"t", "e"},
		event(`,"quantity":-1,"source":"s","corrects":{"source":"t","id":"e"}`):                                              {"t", "e"},
		`{"specversion":"1.0","id":"e","source":"/s","subject":"a","type":"p","data":{"quantity":-2,"corrects":{"id":"d"}}}`: {"/s", "d"},
	} {
		shape := ShapeJSON
		if strings.Contains(body, "specversion") {
			shape = ShapeCloudEvent
		}
		r, err := Parse(shape, body)
		if err != nil || len(r.Events) != 1 {
			t.Errorf("%s: %v %+v", body, err, r)
			continue
		}
		if e := r.Events[0].Event("key", 99); e.Corrects == nil || *e.Corrects != want || len(e.Attributes) != 0 {
			t.Errorf("%s: %+v", body, e)
		}
	}
	r, err := Parse(ShapeJSON, event(`,"corrects":null`))
	if err != nil || len(r.Events) != 1 || r.Events[0].Corrects != nil {
		t.Errorf("null: %v %+v", err, r)
	}
	r, err = Parse(ShapeCloudEvent, `{"specversion":"1.0","id":"e","source":"/s","subject":"a","type":"p","data":{"corrects":"a word"}}`)
	if err != nil || len(r.Events) != 1 || r.Events[0].Corrects != nil || len(r.Events[0].Attributes) != 1 {
		t.Errorf("an attribute of that name: %v %+v", err, r)
	}
}

// TestSpellingKeepsTheHash: what is the same content must not become a duplicate_conflict.
func TestSpellingKeepsTheHash(t *testing.T) {
	same := []string{
		`{"id":"1","account":"a","product":"p","quantity":3,"time":"2026-11-21T10:00:00Z","attributes":{"x":"1","y":"2"}}`,
		`{"attributes":{"y":"2","x":1.0},"time":"2026-11-21T11:00:00.000+01:00","quantity":"3.0","product":"p","account":"\u0061","id":"1","package":null}`,
		`{"id":"1","account":"a","product":"p","quantity":0.3e1,"time":"2026-11-21t10:00:00z","attributes":{"x":1,"y":2}}`,
	}
	var first uint64
	for i, body := range same {
		r, err := Parse(ShapeJSON, body)
		if err != nil || len(r.Events) != 1 {
			t.Fatal(err, r)
		}
		if h := HashOf(&r.Events[0]); i == 0 {
			first = h
		} else if h != first {
			t.Errorf("%s: another hash", body)
		}
	}
	cloud, err := Parse(ShapeCloudEvent, `{"specversion":"1.0","id":"1","source":"/s","subject":"a","type":"p","time":"2026-11-21T10:00:00Z","data":{"quantity":3,"x":"1","y":"2"}}`)
	if err != nil || len(cloud.Events) != 1 || HashOf(&cloud.Events[0]) != first {
		t.Errorf("as a CloudEvent: %v %+v", err, cloud)
	}
}

func event(change string) string {
	return `{"id":"e","account":"a","product":"p"` + change + `}`
}

func TestParseRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxNameBytes+1)
	manyAttributes := `,"attributes":{"a":"0"`
	for i := range MaxAttributes {
		manyAttributes += fmt.Sprintf(`,"b%d":""`, i)
	}
	cases := []struct {
		name, body string
		code       Code
		says       string
	}{
		{"not JSON", `hello`, CodeJSON, ""},
		{"empty", ``, CodeJSON, ""},
		{"torn", `{"id":"e","account":"a`, CodeJSON, "not JSON"},
		{"two events", event("") + event(""), CodeJSON, ""},
		{"number", `7`, CodeEvent, "an event is an object"},
		{"trailing comma", `{"id":"e",}`, CodeJSON, ""},
		{"no id", `{"account":"a","product":"p"}`, CodeIDMissing, "id"},
		{"empty id", `{"id":"","account":"a","product":"p"}`, CodeIDMissing, ""},
		{"null id", `{"id":null,"account":"a","product":"p"}`, CodeIDMissing, ""},
		{"id number", `{"id":5,"account":"a","product":"p"}`, CodeIDInvalid, "must be a string"},
		{"id long", `{"id":"` + long + `","account":"a","product":"p"}`, CodeIDInvalid, "513 bytes"},
		{"id NUL", `{"id":"a\u0000","account":"a","product":"p"}`, CodeIDInvalid, "NUL"},
		{"no account", `{"id":"e","product":"p"}`, CodeAccountMissing, ""},
		{"account array", `{"id":"e","account":["a"],"product":"p"}`, CodeAccountInvalid, ""},
		{"no product", `{"id":"e","account":"a"}`, CodeProductMissing, ""},
		{"product boolean", `{"id":"e","account":"a","product":true}`, CodeProductInvalid, ""},
		{"source object", event(`,"source":{}`), CodeSource, ""},
		{"package number", event(`,"package":1`), CodePackage, ""},
		{"member twice", event(`,"id":"f"`), CodeJSON, "twice"},
		{"typing mistake", event(`,"qty":3`), CodeMemberUnknown, "qty"},
		{"corrects text", event(`,"corrects":"e-0","quantity":-1`), CodeCorrects, "an object like"},
		{"corrects nothing", event(`,"corrects":{},"quantity":-1`), CodeCorrects, "needs the id"},
		{"corrects without id", event(`,"corrects":{"source":"s"},"quantity":-1`), CodeCorrects, "needs the id"},
		{"corrects id number", event(`,"corrects":{"id":3},"quantity":-1`), CodeCorrects, "corrects.id must be a string"},
		{"corrects more", event(`,"corrects":{"id":"d","time":"now"},"quantity":-1`), CodeCorrects, "unknown member \"time\" of corrects"},
		{"corrects id twice", event(`,"corrects":{"id":"d","id":"f"},"quantity":-1`), CodeJSON, "twice"},
		{"corrects twice", event(`,"corrects":{"id":"d"},"corrects":null,"quantity":-1`), CodeJSON, "twice"},
		{"corrects itself", event(`,"corrects":{"id":"e"},"quantity":-1`), CodeCorrects, "itself"},
		{"corrects itself by name", event(`,"source":"s","corrects":{"source":"s","id":"e"},"quantity":-1`), CodeCorrects, "itself"},
		{"corrects without quantity", event(`,"corrects":{"id":"d"}`), CodeCorrects, "it would add 1"},
		{"corrects torn", event(`,"corrects":{"id":`), CodeJSON, ""},
		{"quantity text", event(`,"quantity":"three"`), CodeQuantity, "not a decimal number"},
		{"quantity empty", event(`,"quantity":""`), CodeQuantity, ""},
		{"quantity spaces", event(`,"quantity":" 3"`), CodeQuantity, ""},
		{"quantity comma", event(`,"quantity":"3,5"`), CodeQuantity, ""},
		{"quantity NaN", event(`,"quantity":NaN`), CodeQuantity, "NaN"},
		{"quantity NaN text", event(`,"quantity":"NaN"`), CodeQuantity, "NaN"},
		{"quantity Infinity", event(`,"quantity":-Infinity`), CodeQuantity, ""},
		{"quantity 01", event(`,"quantity":01`), CodeQuantity, ""},
		{"quantity 1e400", event(`,"quantity":1e400`), CodeQuantity, "beyond 10^15"},
		{"quantity 13 decimals", event(`,"quantity":0.1234567890123`), CodeQuantity, "12 decimals"},
		{"quantity too large", event(`,"quantity":"1000000000000000.000000000001"`), CodeQuantity, "beyond 10^15"},
		{"quantity too small", event(`,"quantity":-1000000000000001`), CodeQuantity, "beyond 10^15"},
		{"quantity true", event(`,"quantity":true`), CodeQuantity, ""},
		{"amount without currency", event(`,"amount":1`), CodeCurrency, ""},
		{"currency without amount", event(`,"currency":"EUR"`), CodeAmount, ""},
		{"amount text", event(`,"amount":"1 EUR","currency":"EUR"`), CodeAmount, ""},
		{"currency unknown", event(`,"amount":1,"currency":"ZZZ"`), CodeCurrency, "ZZZ"},
		{"time without zone", event(`,"time":"2026-11-21T10:00:00"`), CodeTime, "has no zone"},
		{"time date", event(`,"time":"2026-11-21"`), CodeTime, "has no zone"},
		{"time number", event(`,"time":1795255200`), CodeTime, ""},
		{"time 30 February", event(`,"time":"2026-02-30T10:00:00Z"`), CodeTime, ""},
		{"time hour 24", event(`,"time":"2026-02-03T24:00:00Z"`), CodeTime, ""},
		{"time leap second", event(`,"time":"2026-12-31T23:59:60Z"`), CodeTime, ""},
		{"time year 1", event(`,"time":"0001-01-01T00:00:00Z"`), CodeTime, "1700"},
		{"time year 9999", event(`,"time":"9999-01-01T00:00:00Z"`), CodeTime, "2199"},
		{"time too fine", event(`,"time":"2026-11-21T10:00:00.0000000001Z"`), CodeTime, "nanosecond"},
		{"attributes text", event(`,"attributes":"x"`), CodeAttributes, ""},
		{"attributes nested", event(`,"attributes":{"a":{"b":1}}`), CodeAttributes, "flatten"},
		{"attribute twice", event(`,"attributes":{"a":"1","b":"","a":"2"}`), CodeAttributes, "twice"},
		{"attribute without name", event(`,"attributes":{"":"1"}`), CodeAttributes, ""},
		{"attribute NaN", event(`,"attributes":{"a":NaN}`), CodeJSON, ""},
		{"attributes many", event(manyAttributes + "}"), CodeAttributes, "65 attributes"},
		{"too large", event(`,"attributes":{"a":"` + strings.Repeat("y", MaxEventBytes) + `"}`), CodeEventTooLarge, ""},
		{"broken UTF-8", event(",\"package\":\"\xff\""), CodeUTF8, "package"},
		{"broken UTF-8 in a name", event(",\"attributes\":{\"\xff\":1}"), CodeUTF8, ""},
		{"half a surrogate pair", event(`,"package":"\ud83d"`), CodeUTF8, ""},
		{"control character", event(",\"package\":\"a\tb\""), CodeJSON, "control"},
	}
	for _, c := range cases {
		for _, shape := range []Shape{ShapeJSON, ShapeLines} {
			if c.body == "" && shape == ShapeLines {
				continue
			}
			r, err := Parse(shape, c.body)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if len(r.Events) != 0 || len(r.Refused) != 1 || r.Refused[0].Code != c.code || !strings.Contains(r.Refused[0].Message, c.says) {
				t.Errorf("%s: %+v, want %s %q", c.name, r, c.code, c.says)
			}
		}
		if c.code == CodeJSON && !strings.Contains(c.name, "twice") {
			continue // inside an array the structure is lost
		}
		r, err := Parse(ShapeJSON, "["+event("")+","+c.body+","+event("")+"]")
		if err != nil || len(r.Events) != 2 || len(r.Refused) != 1 || r.Refused[0].Index != 1 || r.Events[1].Index != 2 {
			t.Errorf("%s in an array: %v %+v", c.name, err, r)
		}
	}
}

func TestParseLines(t *testing.T) {
	body := event("") + "\r\n\n  \n{\"id\":\n" + event(`,"quantity":2`) + "\n" + `{"id":"torn","acc`
	r, err := Parse(ShapeLines, body)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Events) != 2 || r.Events[1].Index != 2 || len(r.Refused) != 2 || r.Refused[0].Index != 1 || r.Refused[1].Index != 3 || r.Refused[1].ID != "torn" {
		t.Fatalf("%+v", r)
	}
}

func TestParseWholeRequests(t *testing.T) {
	many := strings.Repeat(event("")+"\n", MaxRequestEvents)
	array := "[" + strings.Repeat(event("")+",", MaxRequestEvents-1) + event("")
	cases := []struct {
		name  string
		shape Shape
		body  string
		code  Code // empty: taken
		count int
	}{
		{"10,000 lines", ShapeLines, many, "", MaxRequestEvents},
		{"10,001 lines", ShapeLines, many + event(""), CodeTooManyEvents, 0},
		{"10,000 in an array", ShapeJSON, array + "]", "", MaxRequestEvents},
		{"10,001 in an array", ShapeJSON, array + "," + event("") + "]", CodeTooManyEvents, 0},
		{"9 MiB", ShapeJSON, strings.Repeat(" ", 9<<20), CodeRequestTooLarge, 0},
		{"torn array", ShapeJSON, "[" + event("") + "," + event("")[:10], CodeJSON, 0},
		{"comma at the end", ShapeJSON, "[" + event("") + ",]", CodeJSON, 0},
		{"text after the array", ShapeJSON, "[]x", CodeJSON, 0},
		{"empty array", ShapeJSON, " [ ] ", "", 0},
		{"no lines", ShapeLines, "\n \n", "", 0},
		{"CloudEvent array as one", ShapeCloudEvent, "[]", CodeJSON, 0},
		{"one CloudEvent as a batch", ShapeCloudEventBatch, "{}", CodeJSON, 0},
		{"deeply nested", ShapeJSON, "[" + event(`,"attributes":{"a":`+strings.Repeat("[", 100000)), CodeJSON, 0},
	}
	for _, c := range cases {
		r, err := Parse(c.shape, c.body)
		var whole *RequestError
		switch {
		case c.code == "":
			if err != nil || len(r.Events) != c.count || len(r.Refused) != 0 {
				t.Errorf("%s: %v", c.name, err)
			}
		case !errors.As(err, &whole) || whole.Code != c.code:
			t.Errorf("%s: %v, want %s", c.name, err, c.code)
		}
	}
}

func TestParseCloudEvents(t *testing.T) {
	cloud := func(change string) string {
		return `{"specversion":"1.0","id":"e","source":"/s","subject":"a","type":"p"` + change + `}`
	}
	r, err := Parse(ShapeCloudEventBatch, "["+cloud(`,"datacontenttype":"application/json","traceparent":"00-1","data":{"quantity":"2.5","region":"eu","deep":{"x":[1, 2]}}`)+","+cloud(`,"data":null`)+"]")
	if err != nil || len(r.Events) != 2 || r.Events[0].Quantity != money.MustParse("2.5") || r.Events[1].HasQuantity {
		t.Fatalf("%v %+v", err, r)
	}
	if got := fmt.Sprint(r.Events[0].Attributes); got != `[{deep {"x":[1, 2]}} {region eu}]` {
		t.Errorf("attributes %s", got)
	}
	for body, code := range map[string]Code{
		`{"id":"e","source":"/s","subject":"a","type":"p"}`:                       CodeSpecVersion,
		`{"specversion":"0.3","id":"e","subject":"a","type":"p"}`:                 CodeSpecVersion,
		`{"specversion":"1.0","id":"e","source":"/s","type":"p"}`:                 CodeAccountMissing,
		`{"specversion":"1.0","id":"e","source":"/s","subject":"a"}`:              CodeProductMissing,
		`{"specversion":"1.0","source":"/s","subject":"a","type":"p"}`:            CodeIDMissing,
		cloud(`,"data_base64":"AA=="`):                                            CodeData,
		cloud(`,"data":7`):                                                        CodeData,
		cloud(`,"data":{"quantity":1,"quantity":2}`):                              CodeJSON,
		cloud(`,"data":{"quantity":"x"}`):                                         CodeQuantity,
		cloud(`,"time":"yesterday"`):                                              CodeTime,
		cloud(`,"data":{"x":1,"x":2}`):                                            CodeAttributes,
		`{"specversion":"1.0","id":"e","source":"/s","subject":"a","type":"p"}x"`: CodeJSON,
	} {
		r, err := Parse(ShapeCloudEvent, body)
		if err != nil || len(r.Refused) != 1 || r.Refused[0].Code != code {
			t.Errorf("%s: %v %+v, want %s", body, err, r, code)
		}
	}
}

func TestShapeOf(t *testing.T) {
	for contentType, want := range map[string]Shape{
		"": ShapeJSON, "application/json; charset=utf-8": ShapeJSON, "application/x-ndjson": ShapeLines,
		"application/cloudevents+json": ShapeCloudEvent, "Application/CloudEvents-Batch+json; charset=UTF-8": ShapeCloudEventBatch,
		"text/csv": 0, ";;": 0,
	} {
		if got, ok := ShapeOf(contentType); got != want || ok != (want != 0) {
			t.Errorf("%q: %v %v", contentType, got, ok)
		}
	}
}

func TestParseTimeAgainstStandard(t *testing.T) {
	for _, s := range []string{"1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "2000-02-29T12:00:00+14:00", "1900-02-28T23:59:59-23:59", "2199-12-31T23:59:59Z", "1700-03-01T00:00:00Z", "2026-11-21T10:00:00.120000000000Z"} {
		want, err := time.Parse(time.RFC3339Nano, s)
		got, message := ParseTime(s)
		if err != nil || message != "" || got != want.UnixNano() {
			t.Errorf("%s: %d %s, want %d %v", s, got, message, want.UnixNano(), err)
		}
	}
}

// TestRequestIsUsedAgain: nothing of an earlier body shows in the next one.
func TestRequestIsUsedAgain(t *testing.T) {
	r := new(Request)
	for _, body := range []string{
		event(`,"quantity":7,"amount":1,"currency":"EUR","package":"k","attributes":{"b":1,"a":2}`) + "\n{}\n" + event(`,"attributes":{"c":3}`),
		`{"id":"only","account":"a","product":"p"}`,
		"no JSON",
		event(`,"attributes":{"d":1.50}`) + "\n" + event(""),
	} {
		fresh, err := Parse(ShapeLines, body)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Parse(ShapeLines, body); err != nil || len(r.Events)+len(r.Refused) == 0 {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(r.Events, r.Refused), fmt.Sprint(fresh.Events, fresh.Refused); got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
	if err := r.Parse(ShapeJSON, "["); err == nil || len(r.Events)+len(r.Refused) != 0 {
		t.Errorf("a broken body left %+v, %v", r, err)
	}
}

// FuzzParse: what is accepted is JSON to the standard library too, and says the same.
func FuzzParse(f *testing.F) {
	f.Add(event(`,"quantity":1.5e1,"attributes":{"a":"\ud83d\ude00","b":[1]}`))
	f.Add("[" + event("") + "," + event(`,"time":"2026-11-21T10:00:00Z"`) + "]")
	f.Add(event(",\"package\":\"\xff\""))
	f.Fuzz(func(t *testing.T, body string) {
		for _, shape := range []Shape{ShapeJSON, ShapeLines, ShapeCloudEvent, ShapeCloudEventBatch} {
			r, err := Parse(shape, body)
			if err != nil {
				continue
			}
			for i := range r.Events {
				s := &r.Events[i]
				e := s.Event("source", 1)
				e.Subject, e.RoutingKey = s.Account, UnresolvedKey(s.Account)
				if e.Size() > MaxEventBytes {
					t.Fatalf("an accepted event has %d bytes", e.Size())
				}
				wire := AppendRecord(nil, &Record{Kind: KindBatch, Events: []Event{e}})
				if err := Decode(wire, new(Record)); err != nil {
					t.Fatalf("an accepted event cannot be decoded: %v", err)
				}
			}
			if shape == ShapeJSON && len(r.Events) == 1 && len(r.Refused) == 0 && body[0] == '{' {
				compareWithStandard(t, body, &r.Events[0])
			}
		}
	})
}

func compareWithStandard(t *testing.T, body string, s *Sent) {
	if !utf8.ValidString(body) {
		t.Fatalf("accepted broken UTF-8: %q", body)
	}
	var standard struct {
		ID, Account, Product string
		Time                 *time.Time
		Attributes           map[string]any
	}
	if err := json.Unmarshal([]byte(body), &standard); err != nil {
		t.Fatalf("accepted %q: %v", body, err)
	}
	if strings.Contains(strings.ToLower(body), `\u`) || standard.ID == "" {
		return // the standard library matches the names of members in any case
	}
	if s.ID != standard.ID && !strings.Contains(body, "ID") && !strings.Contains(body, "Id") && !strings.Contains(body, "iD") {
		t.Fatalf("%q: id %q, want %q", body, s.ID, standard.ID)
	}
}

func BenchmarkParseLines(b *testing.B) {
	var body strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&body, `{"id":"e-%012d","source":"gateway-7","account":"acct-%07d","product":"traffic","time":"2026-11-21T10:00:00.%03d123Z","quantity":"2.5","attributes":{"region":"eu-central-1"}}`+"\n", i, i*7919%10_000, i)
	}
	text := body.String()
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	r := new(Request)
	for b.Loop() {
		if err := r.Parse(ShapeLines, text); err != nil || len(r.Events) != 1000 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}
