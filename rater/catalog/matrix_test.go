package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollstream/tollstream/ledger/money"
)

// selected names the entry that Select gives for values in the order of the dimensions: by its amount.
func selected(m *Matrix, t int64, zone *time.Location, values ...string) string {
	if r := m.Select(values, t, zone); r != nil {
		return r.Amount.String()
	}
	return "none"
}

const callMatrix = `{model: matrix, aggregation: count, rounding: {mode: ceil}, tiers_restart: true, id: calls,
  dimensions: [{name: destination, by: prefix, from: dialled}, class, {name: minutes, by: range}],
  prices: [
    {match: {destination: "49"}, model: flat, amount: 1},
    {match: {destination: ["4930", "4940"]}, model: flat, amount: 2},
    {match: {destination: "49301", class: gold}, model: flat, amount: 3},
    {match: {class: gold}, model: flat, amount: 4},
    {match: {class: gold, minutes: {from: 10}}, model: flat, amount: 5},
    {match: {minutes: {from: 0, to: 10}}, model: flat, amount: 6},
    {match: {minutes: {to: 0}}, model: flat, amount: 7},
    {match: {class: [silver, bronze]}, model: flat, amount: 8},
    {match: {class: [gold, silver], minutes: {from: 20, to: 30}}, model: flat, amount: 9},
    {match: {destination: "é"}, model: flat, amount: 10}],
  default: {model: flat, amount: 99}}`

func TestSelect(t *testing.T) {
	r := compiled(t, callMatrix)
	m := r.Matrix
	for _, c := range []struct{ destination, class, minutes, want, why string }{
		{"4989", "", "", "1", "the prefix 49"},
		{"49", "", "", "1", "a prefix is its own"},
		{"4", "", "", "99", "shorter than any prefix"},
		{"493012", "", "", "2", "4930 is longer than 49; 49301 is for gold"},
		{"493012", "gold", "", "3", "the longest"},
		{"49301", "gold", "5", "3", "whatever the minutes"},
		{"4940", "gold", "5", "2", "the destination counts before the class"},
		{"33", "gold", "", "4", "no destination"},
		{"", "gold", "9.999999999999", "4", "class before minutes"},
		{"", "gold", "10", "5", "both named"},
		{"", "gold", "20", "5", "both named, gold alone and gold or silver: the first written"},
		{"", "silver", "20", "9", "both named"},
		{"", "silver", "30", "8", "a range ends below its end"},
		{"", "", "0", "6", "a range holds its beginning"},
		{"", "", "9.9", "6", ""},
		{"", "", "-0.000000000001", "7", "open below"},
		{"", "", "10", "99", "no entry"},
		{"", "", "1e-13", "99", "not a decimal of 12 places"},
		{"", "", "much", "99", "not a number"},
		{"", "GOLD", "", "99", "letters count"},
		{"élan", "", "", "10", "prefixes are bytes"},
		{"\xc3\xa8", "", "", "99", "the first byte of é is no prefix"},
	} {
		if got := selected(m, 0, time.UTC, c.destination, c.class, c.minutes); got != c.want {
			t.Errorf("%q %q %q: %s, want %s: %s", c.destination, c.class, c.minutes, got, c.want, c.why)
		}
	}
	if got := selected(m, 0, time.UTC); got != "99" {
		t.Errorf("without values: %s", got)
	}
	if want := []Dimension{{"destination", "dialled", "prefix"}, {"class", "class", "exact"}, {"minutes", "minutes", "range"}}; !slices.Equal(m.Dimensions, want) {
		t.Errorf("dimensions %v", m.Dimensions)
	}
	for i := range m.Entries {
		e := m.Entries[i].Rate
		if e.Outer != r || e.ID != "calls" || e.Product != "p" || e.Currency != "EUR" || e.Aggregation != AggregationCount || e.Rounding != r.Rounding || !e.TiersRestart {
			t.Errorf("entry %d does not take what stands beside it: %+v", i, e)
		}
	}
}

// TestSelectPassesOverDimensions: of any kind, where no price names them.
func TestSelectPassesOverDimensions(t *testing.T) {
	m := compiled(t, `{model: matrix, dimensions: [{name: d, by: weekday}, {name: h, by: time_of_day}, {name: n, by: range}, {name: p, by: prefix}, {name: e}, {name: last}],
		prices: [{match: {last: x}, model: flat, amount: 1}]}`).Matrix
	if got := selected(m, testNow, time.UTC, "", "", "5", "49", "a", "x") + selected(m, testNow, time.UTC, "", "", "5", "49", "a", "y") + selected(m, testNow, time.UTC, "", "", "5", "49", "a"); got != "1nonenone" {
		t.Error(got)
	}
	m = compiled(t, "{model: matrix, dimensions: [{name: p, by: prefix}, {name: n, by: range}], prices: [{match: {n: {from: 1}}, model: flat, amount: 1}]}").Matrix
	if got := selected(m, testNow, time.UTC, "49"); got != "none" {
		t.Errorf("without a number: %s", got)
	}
}

func TestSelectWithoutDefault(t *testing.T) {
	m := compiled(t, `{model: matrix, dimensions: [region], prices: [{match: {region: eu}, model: flat, amount: 1}]}`).Matrix
	if got := selected(m, 0, time.UTC, "us"); got != "none" {
		t.Errorf("us: %s", got)
	}
	if got := selected(m, 0, time.UTC, "eu"); got != "1" {
		t.Errorf("eu: %s", got)
	}
}

// TestSelectByTime: what the clock on the wall shows in the account's zone decides, on days of 23 and 25 hours too.
func TestSelectByTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	m := compiled(t, `{model: matrix, dimensions: [{name: day, by: weekday}, {name: time, by: time_of_day}],
	  prices: [
	    {match: {time: {from: "22:00", to: "06:00"}}, model: flat, amount: 1},
	    {match: {day: [sat, sun]}, model: flat, amount: 2},
	    {match: {day: sun, time: {from: "02:00", to: "03:00"}}, model: flat, amount: 3},
	    {match: {day: mon-thu, time: {from: "08:30", to: "24:00"}}, model: flat, amount: 4}],
	  default: {model: flat, amount: 9}}`).Matrix
	for _, c := range []struct {
		at   string
		zone *time.Location
		want string
		why  string
	}{
		{"2026-11-20T20:59:59.999999999Z", berlin, "9", "Friday 21:59"},
		{"2026-11-20T21:00:00Z", berlin, "1", "Friday 22:00"},
		{"2026-11-20T22:59:59Z", berlin, "1", "Friday 23:59"},
		{"2026-11-20T23:00:00Z", berlin, "2", "Saturday begins: the day is the first dimension"},
		{"2026-11-22T22:59:59Z", berlin, "2", "Sunday 23:59"},
		{"2026-11-22T23:00:00Z", berlin, "1", "Monday 0:00, the night goes on"},
		{"2026-11-23T05:00:00Z", berlin, "9", "Monday 6:00: the night is over"},
		{"2026-11-23T07:30:00Z", berlin, "4", "Monday 8:30"},
		{"2026-11-23T22:59:00Z", berlin, "4", "Monday 23:59: the day is named"},
		{"2026-11-23T22:59:00Z", kolkata, "1", "Tuesday 4:29"},
		{"2026-03-29T00:59:59Z", berlin, "2", "Sunday 1:59, the day has 23 hours"},
		{"2026-03-29T01:00:00Z", berlin, "2", "Sunday 3:00: two o'clock does not exist"},
		{"2026-10-25T00:30:00Z", berlin, "3", "Sunday 2:30 in summer time, the day has 25 hours"},
		{"2026-10-25T01:30:00Z", berlin, "3", "Sunday 2:30 again"},
		{"2026-10-25T02:00:00Z", berlin, "2", "Sunday 3:00"},
		{"1969-12-31T23:59:59Z", time.UTC, "4", "Wednesday, before the epoch"},
		{"1900-01-01T08:29:00Z", time.UTC, "9", "a Monday"},
	} {
		if got := selected(m, at(c.at), c.zone); got != c.want {
			t.Errorf("%s in %s: %s, want %s: %s", c.at, c.zone, got, c.want, c.why)
		}
	}
}

// TestCells: cells are part of stored lines, so they never change for the same match.
func TestCells(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf(`"49%02d"`, i)
	}
	m := compiled(t, `{model: matrix, dimensions: [{name: z, by: weekday}, region, {name: "a&b", by: prefix}, {name: size, by: range}, {name: t, by: time_of_day}],
	  prices: [
	    {match: {region: [us, eu, us]}, model: flat, amount: 1},
	    {match: {region: "a,b=c%", "a&b": 49}, model: flat, amount: 1},
	    {match: {size: {from: 1.50, to: 1e1}, z: fri-mon}, model: flat, amount: 1},
	    {match: {size: {to: 0}, t: {from: "9:05", to: "0:00"}}, model: flat, amount: 1},
	    {match: {"a&b": [`+strings.Join(many, ",")+`]}, model: flat, amount: 1}],
	  default: {model: flat, amount: 2}}`).Matrix
	want := []string{
		"region=eu,us",
		"a%26b=49&region=a%2Cb%3Dc%25",
		"size=1.5..10&z=mon,fri,sat,sun",
		"size=..0&t=09:05-00:00",
		"a%26b=4900,4901,4902,4903,4904,4905,4906…2464436b7875643417d34ffb691fe33a",
	}
	for i, w := range want {
		if got := m.Entries[i].Rate.Cell; got != w {
			t.Errorf("cell %d is %q, want %q", i, got, w)
		}
		if m.Entry(w) != m.Entries[i].Rate {
			t.Errorf("cell %q is not found", w)
		}
	}
	if m.Entry(DefaultCell) != m.Default || m.Entry("") != nil {
		t.Error("the default's cell")
	}
}

// TestMatrixOfAClass: a price inside a rate class belongs to the account that reaches it, as a plain rate of the class does.
func TestMatrixOfAClass(t *testing.T) {
	b := newBook()
	b.must(t, testNow, whole)
	b.must(t, testNow, `
rate_classes:
  - {id: gold, rates: [{product: api-calls, start: 2025-01-01, model: matrix, dimensions: [region],
     prices: [{match: {region: eu}, model: per_unit, unit_price: 1}], default: {model: flat, amount: 2}}]}`)
	plan := b.plan(t, "acme")
	answer, refusal := plan.Resolve(plan.Snapshot().Product("api-calls"), "", at("2026-06-01T00:00:00Z"))
	if refusal != "" || answer.Rate.Level != LevelRateClass {
		t.Fatalf("%+v, %s", answer, refusal)
	}
	outer := answer.Rate
	for cell, values := range map[string][]string{"region=eu": {"eu"}, DefaultCell: {"us"}} {
		r := outer.Matrix.Select(values, 0, time.UTC)
		if r == nil || r.Cell != cell || r.Outer != outer || r.OwnerAccount != "acme" || r.Start != outer.Start || r.ID != outer.ID || r.Level != LevelRateClass {
			t.Errorf("%s: %+v", cell, r)
		}
		if outer.Matrix.Entry(cell) != r || outer.Matrix.Select(values, 0, time.UTC) != r {
			t.Errorf("%s is not the same each time", cell)
		}
		if shared := plan.Snapshot().RateClass("gold").Rates["api-calls"][0].Matrix.Entry(cell); shared == r || shared.OwnerAccount != "" || shared.Outer.Matrix.Entry(cell) != shared {
			t.Errorf("%s: what accounts share is %+v", cell, shared)
		}
	}
	if outer.Start != at("2025-12-31T23:00:00Z") {
		t.Errorf("the rate starts at %d", outer.Start)
	}
	if r := outer.Matrix.Entry("region=mars"); r != nil {
		t.Errorf("a cell that is not there: %+v", r)
	}
}

// naive looks at every entry and compares as the rule says.
func naive(m *Matrix, values []string, t int64, zone *time.Location) *Rate {
	local := time.Unix(0, t).In(zone)
	best, rank := m.Default, []int(nil)
	for i := range m.Entries {
		e := &m.Entries[i]
		var ranks []int // by dimension, higher is preferred; nil: does not match
		for j, c := range e.Match {
			matches, r := !c.Named, 0
			if c.Named {
				r = 1
				switch m.Dimensions[j].By {
				case ByExact:
					matches = slices.Contains(c.Values, values[j])
				case ByPrefix:
					for _, v := range c.Values {
						if strings.HasPrefix(values[j], v) {
							matches, r = true, max(r, len(v))
						}
					}
				case ByRange:
					if d, err := money.Parse(values[j]); err == nil {
						matches = (!c.From.Set || d.Cmp(c.From.Value) >= 0) && (!c.To.Set || d.Cmp(c.To.Value) < 0)
					}
				case ByTimeOfDay:
					minute := local.Hour()*60 + local.Minute()
					matches = c.Minutes.contains(minute)
				case ByWeekday:
					matches = c.Days&(1<<((int(local.Weekday())+6)%7)) != 0
				}
			}
			if !matches {
				ranks = nil
				break
			}
			ranks = append(ranks, r)
		}
		if ranks != nil && (rank == nil || slices.Compare(ranks, rank) > 0) {
			best, rank = e.Rate, ranks
		}
	}
	return best
}

func anyMatrix() *rapid.Generator[*Matrix] {
	return rapid.Custom(func(t *rapid.T) *Matrix {
		m := &Matrix{}
		for i := range rapid.IntRange(1, 4).Draw(t, "dimensions") {
			by := rapid.SampledFrom([]string{ByExact, ByPrefix, ByRange, ByTimeOfDay, ByWeekday}).Draw(t, "by")
			m.Dimensions = append(m.Dimensions, Dimension{Name: fmt.Sprint("d", i), By: by})
		}
		words := rapid.SliceOfN(rapid.StringMatching(`[ab]{1,3}`), 1, 3)
		for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
			match := make([]Condition, len(m.Dimensions))
			for j, d := range m.Dimensions {
				c := &match[j]
				if c.Named = rapid.IntRange(0, 2).Draw(t, "named") > 0; !c.Named {
					continue
				}
				switch d.By {
				case ByRange:
					from := rapid.Int64Range(0, 8).Draw(t, "from")
					c.From = Ordinal{rapid.Bool().Draw(t, "low"), money.FromInt(from)}
					c.To = Ordinal{!c.From.Set || rapid.Bool().Draw(t, "high"), money.FromInt(from + rapid.Int64Range(1, 5).Draw(t, "width"))}
				case ByTimeOfDay:
					c.Minutes.From = rapid.IntRange(0, 23).Draw(t, "from") * 60
					c.Minutes.To = (c.Minutes.From+rapid.IntRange(1, 22).Draw(t, "hours")*60-1)%minutesOfDay + 1
				case ByWeekday:
					c.Days = Weekdays(rapid.IntRange(1, 127).Draw(t, "days"))
				default:
					c.Values = words.Draw(t, "values")
					slices.Sort(c.Values)
					c.Values = slices.Compact(c.Values)
				}
			}
			m.Entries = append(m.Entries, Entry{match, &Rate{Amount: money.FromInt(int64(i))}})
		}
		if rapid.Bool().Draw(t, "default") {
			m.Default = &Rate{Amount: money.FromInt(-1)}
		}
		return m
	})
}

// TestSelectAgainstNaive: the tree finds what looking at every entry finds, in any combination of dimensions.
func TestSelectAgainstNaive(t *testing.T) {
	zone, err := time.LoadLocation("America/St_Johns")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := anyMatrix().Draw(t, "matrix")
		if _, err := m.build(); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			values := make([]string, len(m.Dimensions))
			for j := range values {
				values[j] = rapid.SampledFrom([]string{"", "a", "b", "ab", "aba", "abab", "bb", "0", "3", "7.5", "-1", "12"}).Draw(t, "value")
			}
			at := time.Date(2026, 3, 1, 0, rapid.IntRange(0, 60*24*40).Draw(t, "minute"), 0, 0, time.UTC).UnixNano()
			got, want := m.Select(values, at, zone), naive(m, values, at, zone)
			if got != want {
				t.Fatalf("%q at %s: %+v, want %+v", values, time.Unix(0, at).In(zone), got, want)
			}
		}
	})
}

// TestPrefixesThatTheFilterDoesNotKnow: a filter that lets everything pass costs time and changes nothing.
func TestPrefixesThatTheFilterDoesNotKnow(t *testing.T) {
	long := strings.Repeat("b", 60)
	prefixes := []string{"a", "ab", "b", "bbb", long + "c"}
	p := newPrefixTable(prefixes, make([]branch, len(prefixes)))
	open := newPrefixTable(prefixes, make([]branch, len(prefixes)))
	for i := range open.filter {
		open.filter[i] = 1<<64 - 1
	}
	for text, want := range map[string]int{
		"": -1, "a": 0, "aa": 0, "abc": 1, "b": 2, "bb": 2, "bbbb": 3, long: 3, long + "c": 4, long + "cc": 4, "c": -1,
		strings.Repeat("c", 60): -1, "b" + strings.Repeat("c", 60): 2,
	} {
		if got := p.longest(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
		if got := open.longest(text); got != want {
			t.Errorf("%q without the filter: %d, want %d", text, got, want)
		}
	}
	if s := p.keys[1].shorter; s != 0 {
		t.Errorf("behind ab comes %d", s)
	}
}

// TestMatrixBounds: what would stand at too many places is refused, and quickly.
func TestMatrixBounds(t *testing.T) {
	m := &Matrix{Dimensions: []Dimension{{Name: "a", By: ByRange}, {Name: "b", By: ByRange}}}
	for i := range 3000 {
		c := Condition{Named: true, From: Ordinal{true, money.FromInt(int64(i))}}
		m.Entries = append(m.Entries, Entry{[]Condition{c, c}, &Rate{}})
	}
	if _, err := m.build(); err != errMatrixTooLarge {
		t.Errorf("built: %v", err)
	}
}

// telephoneMatrix has n prefixes of 2 to 9 digits and, if asked for, two prices for each by the time of day. It gives numbers that begin
// with the prefixes, in no order, next to each other in memory.
func telephoneMatrix(n int, byTime bool) (*Matrix, []string) {
	random := rand.New(rand.NewPCG(1, 2))
	m := &Matrix{Dimensions: []Dimension{{Name: "prefix", By: ByPrefix, From: "prefix"}, {Name: "time", By: ByTimeOfDay}}}
	times := []Condition{{}}
	if byTime {
		times = append(times, Condition{Named: true, Minutes: Minutes{20 * 60, 8 * 60}})
	}
	seen := map[string]bool{}
	var text strings.Builder
	for len(seen) < n {
		p := fmt.Sprint(1 + random.IntN(9))
		for range 1 + random.IntN(8) {
			p += fmt.Sprint(random.IntN(10))
		}
		if seen[p] {
			continue
		}
		seen[p] = true
		text.WriteString(p + "555123456789"[:14-len(p)])
		for _, c := range times {
			match := []Condition{{Named: true, Values: []string{p}}, c}
			m.Entries = append(m.Entries, Entry{match, &Rate{}})
		}
	}
	if _, err := m.build(); err != nil {
		panic(err)
	}
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = text.String()[14*i : 14*i+14]
	}
	return m, numbers
}

func BenchmarkSelect(b *testing.B) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		n      int
		byTime bool
	}{{"100 prefixes", 100, false}, {"10,000 prefixes", 10_000, false}, {"10,000 prefixes by time", 10_000, true}} {
		m, numbers := telephoneMatrix(c.n, c.byTime)
		b.Run(c.name, func(b *testing.B) {
			values, i := make([]string, 2), 0
			b.ReportAllocs()
			for b.Loop() {
				values[0] = numbers[i]
				if i++; i == len(numbers) {
					i = 0
				}
				if m.Select(values, testNow, zone) == nil {
					b.Fatal("none")
				}
			}
		})
	}
}

func TestSelectDoesNotAllocate(t *testing.T) {
	m, numbers := telephoneMatrix(1000, true)
	values := []string{numbers[7], ""}
	if n := testing.AllocsPerRun(100, func() { m.Select(values, testNow, time.UTC) }); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}
