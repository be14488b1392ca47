package format

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/ledger/money"
)

func mapOne(t *testing.T, f *Delimited, m *Mapping, header, line string) (usage.Sent, *Row) {
	t.Helper()
	if header != "" {
		line = header + "\n" + line
	}
	mapper := NewMapper(m, f.Notation(), "00ff")
	records, err := f.Open(Plain(strings.NewReader(line), int64(len(line))), mapper.Paths(), Start)
	if err != nil {
		t.Fatal(err)
	}
	var row Row
	if err := records.Next(&row); err != nil {
		t.Fatal(err)
	}
	events := mapper.Map(&row, nil)
	if len(events) == 1 != (row.Code == "") || len(events) > 1 {
		t.Fatalf("%d events, row %+v", len(events), row)
	}
	return append(events, usage.Sent{})[0], &row
}

func from(name string, steps ...Step) *Field { return &Field{From: name, Steps: steps} }

func TestMap(t *testing.T) {
	f := DefaultDelimited()
	f.Values.Null = []string{"NULL", `\N`}
	m := &Mapping{
		Account: from("who", Step{Op: StepTrim}, Step{Op: StepStripPrefix, A: "00"}, Step{Op: StepReplace, A: " ", B: ""}),
		Product: &Field{Value: "voice"},
		Package: &Field{From: "package", Default: "basic"},
		Quantity: from("seconds", Step{Op: StepStripSuffix, A: "s"},
			Step{Op: StepMultiply, By: money.MustParse("0.001")}),
		Time: &Field{From: "at", Layouts: []string{"2006-01-02 15:04:05"}, Zone: time.UTC},
		Attributes: []Attribute{
			{"cell", from("cell", Step{Op: StepUpper})},
			{"kind", &Field{Value: "mobile"}},
		},
	}
	header := "who,package,seconds,at,cell"
	s, row := mapOne(t, &f, m, header, " 0049 30 1 ,NULL,1500s,2026-11-21 10:00:00,ab")
	if row.Code != "" {
		t.Fatalf("%+v", row)
	}
	got := fmt.Sprintln(s.ID, s.Account, s.Product, s.Package, s.Quantity, s.Time, s.Attributes)
	if want := fmt.Sprintln("00ff:2", "49301", "voice", "basic", "1.5", int64(1795255200e9), []usage.Attribute{{Name: "cell", Value: "AB"}, {Name: "kind", Value: "mobile"}}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s, row = mapOne(t, &f, m, header, `1,NULL,NULL,\N,`)
	if row.Code != "" || s.HasQuantity || s.HasTime || len(s.Attributes) != 1 {
		t.Errorf("nulls: %+v %+v", row, s)
	}
	bad := map[string]usage.Code{
		"1,2,3,4":                                               usage.CodeRow, // torn
		"1,2,3,4,5,6":                                           usage.CodeRow,
		",x,1,2026-11-21 10:00:00,a":                            usage.CodeAccountMissing,
		"1,x,many,2026-11-21 10:00:00,a":                        usage.CodeQuantity,
		"1,x,1,2026-11-21T10:00:00Z,a":                          usage.CodeTime,
		"1,x,1,2026-02-30 10:00:00,a":                           usage.CodeTime,
		"1,x,1e16,2026-11-21 10:00:00,a":                        usage.CodeQuantity,
		"1,x,1,2026-11-21 10:00:00,\x00a":                       usage.CodeAttributes,
		strings.Repeat("9", 600) + ",x,1,2026-11-21 10:00:00,a": usage.CodeAccountInvalid,
	}
	for line, code := range bad {
		if _, row := mapOne(t, &f, m, header, line); row.Code != code || row.Raw == "" {
			t.Errorf("%q: %s %q, want %s", line, row.Code, row.Message, code)
		}
	}
}

func TestMapByNumber(t *testing.T) {
	f := DefaultDelimited()
	f.Header = false
	m := &Mapping{ID: &Field{Column: 3}, Account: &Field{Column: 1}, Product: &Field{Value: "p"}}
	if s, row := mapOne(t, &f, m, "", "a,b,c,d"); row.Code != "" || s.ID != "c" || s.Account != "a" {
		t.Errorf("%+v %+v", row, s)
	}
	if _, row := mapOne(t, &f, m, "", "a,b"); row.Code != usage.CodeRow || !strings.Contains(row.Message, "torn") {
		t.Errorf("torn: %+v", row)
	}
}

func TestOpenNamesTheColumn(t *testing.T) {
	open := func(header string, m *Mapping) error {
		f := DefaultDelimited()
		_, err := f.Open(Plain(strings.NewReader(header), int64(len(header))), NewMapper(m, f.Notation(), "x").Paths(), Start)
		return err
	}
	m := &Mapping{Account: from("a"), Product: from("b")}
	for header, says := range map[string]string{"a,c": `mapping.product: the header has no column "b"; it has "a", "c"`, "a,b,a": `mapping.account: the header has column "a" twice`} {
		if err := open(header, m); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", header, err)
		}
	}
	if err := open("a,b", &Mapping{Account: &Field{Column: 3}}); err == nil {
		t.Error("a column number beyond the header was taken")
	}
}

func TestNumbers(t *testing.T) {
	cases := []struct{ decimal, thousands, text, want string }{
		{".", "", "1234.5", "1234.5"},
		{".", "", "1,234", "1,234"}, // refused later, as a number
		{".", ",", "1,234,567.25", "1234567.25"},
		{".", ",", "1,23", ""},
		{".", ",", "1,234,5.0", ""},
		{".", ",", ",234", ""},
		{".", ",", "-1,234", "-1234"},
		{".", ",", "1.5,000", "1.5,000"},
		{",", "", "12,5", "12.5"},
		{",", "", "-0,000001", "-0.000001"},
		{",", "", "12.5", ""}, // a point where it has no meaning
		{",", "", "1,2,3", ""},
		{",", ".", "1.234,5", "1234.5"},
		{",", ".", "1.234", "1234"},
		{",", ".", "1.5", ""}, // not fifteen
		{",", " ", "12 345,6", "12345.6"},
	}
	for _, c := range cases {
		n := Notation{Decimal: c.decimal, Thousands: c.thousands}
		if got := n.number(c.text); got != c.want {
			t.Errorf("%q with %q %q: got %q, want %q", c.text, c.decimal, c.thousands, got, c.want)
		}
	}
	f := DefaultDelimited()
	f.Values.Decimal, f.Values.Thousands = ",", "."
	f.Delimiter = ";"
	// A default is in the configuration's notation, also where the file says the same letters.
	defaulted := &Mapping{Account: &Field{Value: "a"}, Product: &Field{Value: "p"}, Quantity: &Field{From: "q", Default: "1.000"}}
	for text, want := range map[string]int64{"x;": 1, "x;1.000": 1000} {
		if sent, row := mapOne(t, &f, defaulted, "x;q", text); row.Code != "" || sent.Quantity != money.FromInt(want) {
			t.Errorf("%q: %+v %s", text, row, sent.Quantity)
		}
	}
	m := &Mapping{Account: from("a"), Product: from("p"), Quantity: from("q", Step{Op: StepMultiply, By: money.FromInt(60)})}
	if sent, row := mapOne(t, &f, m, "a;p;q", "x;y;1.000,5"); row.Code != "" || sent.Quantity != money.FromInt(60030) {
		t.Errorf("%+v %s", row, sent.Quantity)
	}
}

func TestLocalTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	lordHowe, err := time.LoadLocation("Australia/Lord_Howe") // changes by half an hour
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		zone       *time.Location
		text, want string
		strict     string // what a strict field says
	}{
		{berlin, "2026-07-01 12:00:00", "2026-07-01T10:00:00Z", ""},
		{berlin, "2026-11-21 12:00:00", "2026-11-21T11:00:00Z", ""},
		{berlin, "2026-03-29 01:59:59", "2026-03-29T00:59:59Z", ""},
		{berlin, "2026-03-29 02:30:00", "2026-03-29T01:30:00Z", "never happened"}, // as if not yet changed: 03:30 summer time
		{berlin, "2026-03-29 03:00:00", "2026-03-29T01:00:00Z", ""},
		{berlin, "2026-10-25 01:59:59", "2026-10-24T23:59:59Z", ""},
		{berlin, "2026-10-25 02:30:00", "2026-10-25T00:30:00Z", "happened twice"}, // the first
		{berlin, "2026-10-25 03:00:00", "2026-10-25T02:00:00Z", ""},
		{lordHowe, "2026-04-05 01:45:00", "2026-04-04T14:45:00Z", "happened twice"},
		{lordHowe, "2026-10-04 02:15:00", "2026-10-03T15:45:00Z", "never happened"},
		{time.UTC, "2026-03-29 02:30:00", "2026-03-29T02:30:00Z", ""},
	}
	for _, c := range cases {
		f := &Field{Layouts: []string{"2006-01-02 15:04:05"}, Zone: c.zone}
		got, message := parseTime(c.text, f)
		if text := time.Unix(0, got).UTC().Format(time.RFC3339); message != "" || text != c.want {
			t.Errorf("%s in %s: %s %s, want %s", c.text, c.zone, text, message, c.want)
		}
		f.Strict = true
		if _, message := parseTime(c.text, f); (c.strict == "") != (message == "") || !strings.Contains(message, c.strict) {
			t.Errorf("%s in %s, strict: %q, want %q", c.text, c.zone, message, c.strict)
		}
	}
}

func TestOtherTimes(t *testing.T) {
	cases := []struct{ layout, text, want string }{
		{"unix", "1795255200", "2026-11-21T10:00:00Z"},
		{"unix", "1795255200.123456789", "2026-11-21T10:00:00.123456789Z"},
		{"unix", "-1.5", "1969-12-31T23:59:58.5Z"},
		{"unix_ms", "1795255200123", "2026-11-21T10:00:00.123Z"},
		{"unix", "1795255200123", ""}, // milliseconds by mistake
		{"unix", "1e9", ""},
		{"unix", "", ""},
		{"02/Jan/2006:15:04:05 -0700", "21/Nov/2026:11:00:00 +0100", "2026-11-21T10:00:00Z"},
		{time.RFC3339, "2026-11-21T10:00:00Z", "2026-11-21T10:00:00Z"},
	}
	for _, c := range cases {
		got, message := parseTime(c.text, &Field{Layouts: []string{c.layout}})
		if text := time.Unix(0, got).UTC().Format(time.RFC3339Nano); (message != "") != (c.want == "") || c.want != "" && text != c.want {
			t.Errorf("%s %q: %s %s, want %s", c.layout, c.text, text, message, c.want)
		}
	}
	for layout, says := range map[string]string{"2006-01-02 15:04 MST": "abbreviation", "15:04:05": "lacks", "2006-01": "lacks", "2006-01-02 03:04": "half", "yyyy-mm-dd": "lacks"} {
		if _, message := CheckLayout(layout); !strings.Contains(message, says) {
			t.Errorf("%s: %q", layout, message)
		}
	}
	for layout, zoned := range map[string]bool{"2006-01-02": false, time.RFC3339: true, "unix": true, "02.01.2006 15:04": false, "1/2/2006 3:04:05 PM": false} {
		if got, message := CheckLayout(layout); message != "" || got != zoned {
			t.Errorf("%s: %v %s", layout, got, message)
		}
	}
}
