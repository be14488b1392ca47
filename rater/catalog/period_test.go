package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zoneNamed(t interface{ Fatal(...any) }, name string) *time.Location {
	zone, err := loadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestPeriods(t *testing.T) {
	for _, c := range []struct {
		every      string
		anchor     int
		zone       string
		when       string
		start, end string
	}{
		{"monthly", 1, "UTC", "2026-11-22T12:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"monthly", 1, "Europe/Berlin", "2026-10-31T23:30:00Z", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"},
		{"monthly", 15, "UTC", "2026-01-14T23:59:59.999999999Z", "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z"},
		{"monthly", 15, "UTC", "2026-01-15T00:00:00Z", "2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z"},
		// The 31st is a month's last day.
		{"monthly", 31, "UTC", "2026-02-27T12:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"},
		{"monthly", 31, "UTC", "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"},
		{"monthly", 31, "UTC", "2028-02-29T00:00:00Z", "2028-02-29T00:00:00Z", "2028-03-31T00:00:00Z"},
		{"monthly", 30, "UTC", "2026-03-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-30T00:00:00Z"},
		// Days of 23 and 25 hours.
		{"daily", 1, "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"daily", 1, "Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		// A midnight that is skipped (clocks go from 00:00 to 01:00) and one that comes twice
		// (from 01:00 back to 00:00: the first one counts).
		{"daily", 1, "Africa/Cairo", "2026-04-24T10:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"},
		{"daily", 1, "America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		{"daily", 1, "America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},
		// Samoa had no 30 December 2011.
		{"daily", 1, "Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"},
		{"daily", 1, "Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},
		// Weeks: 22 November 2026 is a Sunday.
		{"weekly", 1, "UTC", "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},
		{"weekly", 7, "UTC", "2026-11-22T12:00:00Z", "2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"},
		{"weekly", 3, "UTC", "1969-12-31T12:00:00Z", "1969-12-31T00:00:00Z", "1970-01-07T00:00:00Z"},
		{"biweekly", 1, "UTC", "1970-01-05T00:00:00Z", "1970-01-05T00:00:00Z", "1970-01-19T00:00:00Z"},
		{"biweekly", 1, "UTC", "1970-01-04T00:00:00Z", "1969-12-22T00:00:00Z", "1970-01-05T00:00:00Z"},
		{"quarterly", 1, "UTC", "2026-11-22T12:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"quarterly", 31, "UTC", "2026-04-29T12:00:00Z", "2026-01-31T00:00:00Z", "2026-04-30T00:00:00Z"},
		{"yearly", 1, "Asia/Tokyo", "2026-12-31T15:00:00Z", "2026-12-31T15:00:00Z", "2027-12-31T15:00:00Z"},
		{"yearly", 20, "UTC", "2026-01-19T00:00:00Z", "2025-01-20T00:00:00Z", "2026-01-20T00:00:00Z"},
	} {
		zone := zoneNamed(t, c.zone)
		p := Cycle{Every: c.every, AnchorDay: c.anchor}.periodAt(at(c.when), zone)
		if p.Start != at(c.start) || p.End != at(c.end) {
			t.Errorf("%s %d %s %s: %s to %s, want %s to %s", c.every, c.anchor, c.zone, c.when,
				instantText(p.Start), instantText(p.End), c.start, c.end)
		}
	}
	if p := (Cycle{Every: EveryByHand}).periodAt(0, time.UTC); p != (Period{Always, Never}) {
		t.Errorf("manual: %v", p)
	}
}

// TestPeriodsTileTheTime holds for every cycle, zone and instant: the period contains the instant,
// and the next one begins where it ends.
func TestPeriodsTileTheTime(t *testing.T) {
	names := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo", "Pacific/Apia",
		"Asia/Kathmandu", "America/St_Johns", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "Atlantic/Azores"}
	cycles := []string{"daily", "weekly", "biweekly", "monthly", "quarterly", "yearly", "manual"}
	rapid.Check(t, func(t *rapid.T) {
		zone := zoneNamed(t, rapid.SampledFrom(names).Draw(t, "zone"))
		c := Cycle{Every: rapid.SampledFrom(cycles).Draw(t, "cycle"), AnchorDay: rapid.IntRange(1, 31).Draw(t, "anchor")}
		if strings.HasSuffix(c.Every, "weekly") {
			c.AnchorDay = 1 + c.AnchorDay%7
		}
		when := rapid.Int64Range(at("1900-01-01T00:00:00Z"), at("2200-01-01T00:00:00Z")).Draw(t, "when")
		p := c.periodAt(when, zone)
		if !p.Contains(when) {
			t.Fatalf("%v does not contain %d", p, when)
		}
		if p.End == Never {
			return
		}
		if next := c.periodAt(p.End, zone); next.Start != p.End {
			t.Fatalf("%v is followed by %v", p, next)
		}
		if last := c.periodAt(p.Start-1, zone); last.End != p.Start {
			t.Fatalf("%v comes after %v", p, last)
		}
		local := time.Unix(0, p.Start).In(zone)
		before := time.Unix(0, p.Start-1).In(zone)
		if local.YearDay() == before.YearDay() && local.Year() == before.Year() {
			t.Fatalf("the period starts at %s, in the middle of a day", local)
		}
	})
}

// TestBoundsAsText: what is written is read again, into whatever was there.
func TestBoundsAsText(t *testing.T) {
	for _, b := range []Bound{{}, instantBound(at("2026-05-01T10:00:00.5Z")), {form: boundDate, year: 2026, month: 5, day: 1}} {
		text, err := b.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		read := instantBound(7)
		if err := read.UnmarshalText(text); err != nil || read != b {
			t.Errorf("%q: %v %v, want %v", text, read, err, b)
		}
	}
}

func TestPeriodsOfAnyInstant(t *testing.T) {
	for _, when := range []int64{Always, Always + 1, 0, Never - 1, Never} {
		for _, every := range []string{"daily", "weekly", "biweekly", "monthly", "quarterly", "yearly", "manual"} {
			p := Cycle{Every: every, AnchorDay: 7}.periodAt(when, zoneNamed(t, "Europe/Berlin"))
			if p.Start > when || p.End < when {
				t.Errorf("%s %d: %v", every, when, p)
			}
		}
	}
}

// terms are applied one after the other: the account, when, and what it becomes.
func TestBillingChangesTakeEffectWhereAPeriodEnds(t *testing.T) {
	const start = `
currency: USD
accounts:
  - {id: group, cycle: {every: quarterly}, time_zone: Europe/Berlin}
  - {id: a, parent: group, time_zone: Europe/Berlin}
`
	type step struct{ when, account string }
	for name, c := range map[string]struct {
		steps []step
		ask   string
		want  []string // billed account and period, one after the other from ask on
	}{
		"nothing changes": {
			nil, "2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "a 2026-12-01 2027-01-01"},
		},
		"another anchor": {
			[]step{{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, cycle: {every: monthly, anchor_day: 15}}"}},
			"2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "a 2026-12-01 2026-12-15", "a 2026-12-15 2027-01-15"},
		},
		"another anchor, one day away, joins": {
			[]step{{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, cycle: {every: monthly, anchor_day: 2}}"}},
			"2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "a 2026-12-01 2027-01-02", "a 2027-01-02 2027-02-02"},
		},
		"billed to the parent": {
			[]step{{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, bill_to: parent}"}},
			"2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "group 2026-10-01 2027-01-01", "group 2027-01-01 2027-04-01"},
		},
		"and back: where the parent's period ends": {
			[]step{
				{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, bill_to: parent}"},
				{"2026-12-10T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin}"},
			},
			"2026-12-15T12:00:00Z",
			[]string{"group 2026-10-01 2027-01-01", "a 2027-01-01 2027-02-01"},
		},
		"taken back before it began": {
			[]step{
				{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, bill_to: parent}"},
				{"2026-11-23T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin}"},
			},
			"2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "a 2026-12-01 2027-01-01"},
		},
		"changed again before it began": {
			[]step{
				{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, bill_to: parent}"},
				{"2026-11-23T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, cycle: {every: yearly}}"},
			},
			"2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "a 2026-12-01 2027-01-01", "a 2027-01-01 2028-01-01"},
		},
		"from by hand: at the next midnight": {
			[]step{
				{"2026-11-01T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin, cycle: {every: manual}}"},
				{"2026-12-10T12:00:00Z", "{id: a, parent: group, time_zone: Europe/Berlin}"},
			},
			"2026-12-05T12:00:00Z",
			[]string{"a 2026-12-01 2026-12-11", "a 2026-12-11 2027-01-01"},
		},
		// In New York December begins at 05:00 UTC, six hours after it did in Berlin: the six
		// hours are part of the first period.
		"another zone": {
			[]step{{"2026-11-22T12:00:00Z", "{id: a, parent: group, time_zone: America/New_York}"}},
			"2026-11-22T12:00:00Z",
			[]string{"a 2026-11-01 2026-12-01", "a 2026-12-01 2027-01-01T05:00:00Z", "a 2027-01-01T05:00:00Z 2027-02-01T05:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBook()
			b.must(t, at("2026-10-01T12:00:00Z"), start)
			for _, s := range c.steps {
				b.must(t, at(s.when), "accounts: ["+s.account+"]")
			}
			p := b.plan(t, "a")
			when := at(c.ask)
			for i, want := range c.want {
				billed, period := p.Billing(when)
				zone := zoneNamed(t, "Europe/Berlin")
				got := fmt.Sprintf("%s %s %s", billed.ID, instantBound(period.Start).in(zone), instantBound(period.End).in(zone))
				if got != want {
					t.Fatalf("%d: %s, want %s", i, got, want)
				}
				if again, same := p.Billing(when); again != billed || same != period {
					t.Fatalf("%d: asked again: %s %v", i, again.ID, same)
				}
				when = period.End
			}
		})
	}
}

func TestRoutingKeyIsTheFirstBillingRoot(t *testing.T) {
	b := newBook()
	b.must(t, testNow, `
currency: USD
accounts:
  - {id: c, parent: b, bill_to: parent}
  - {id: b, parent: a, bill_to: parent}
  - {id: a}
  - {id: d, parent: b}`)
	for account, want := range map[string]string{"a": "a", "b": "a", "c": "a", "d": "d"} {
		if got := b.plan(t, account).Account().RoutingKey; got != want {
			t.Errorf("%s: %s, want %s", account, got, want)
		}
	}
	b.must(t, testNow, "accounts: [{id: c, parent: b}]")
	b.must(t, at("2027-06-01T00:00:00Z"), "accounts: [{id: c, parent: b, name: Later}, {id: e, parent: c, bill_to: parent}]")
	for account, want := range map[string]string{"c": "a", "e": "c"} {
		if got := b.plan(t, account).Account().RoutingKey; got != want {
			t.Errorf("%s: %s, want %s", account, got, want)
		}
	}
}
