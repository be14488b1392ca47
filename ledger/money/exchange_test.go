package money

import (
	"testing"
	"time"
)

func TestDivision(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"1", "3", "0.333333333333"},
		{"2", "3", "0.666666666667"},
		{"-2", "3", "-0.666666666667"},
		{"1", "-8", "-0.125"},
		{"0.000000000001", "2", "0.000000000001"},   // a half, away from zero
		{"-0.000000000001", "2", "-0.000000000001"}, // likewise
		{"0.000000000001", "2.000000000001", "0"},
		{"0", "7", "0"},
		{"1000000000000000", "0.00000000001", "100000000000000000000000000"},
		{"181.2", "1.1592", "156.314699792961"}, // 181.2 / 1.1592 = 156.31469979296066…
		{"1", "1.1592", "0.862663906142"},       // 0.86266390614216…
		{"100000000000000000000000000", "99999999999999999999999999", "1"},
	} {
		if got, err := MustParse(c.a).Div(MustParse(c.b)); err != nil || got != MustParse(c.want) {
			t.Errorf("%s / %s is %s, %v; want %s", c.a, c.b, got, err, c.want)
		}
	}
	if _, err := One.Div(Zero); err != ErrDivision {
		t.Errorf("1 / 0: %v", err)
	}
	if _, err := MustParse("1000000000000000").Div(MustParse("0.000000000001")); err != ErrOverflow {
		t.Errorf("10^15 / 10^-12: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = Limit.Div(MustParse("1.1592")) }); n != 0 {
		t.Errorf("a division allocates %v times", n)
	}
}

func TestExchange(t *testing.T) {
	if got, err := (Exchange{}).Convert(One); got != One || err != nil {
		t.Errorf("no exchange: %s, %v", got, err)
	}
	x := Exchange{Rate: MustParse("0.000000000005")}
	for amount, want := range map[string]string{"0.1": "0.000000000001", "-0.1": "-0.000000000001", "0.09": "0", "1000000000000000": "5000", "0": "0"} {
		if got, err := x.Convert(MustParse(amount)); got != MustParse(want) || err != nil {
			t.Errorf("%s converts to %s, %v; want %s", amount, got, err, want)
		}
	}
	if _, err := (Exchange{Rate: Limit}).Convert(Limit); err != ErrOverflow {
		t.Errorf("10^15 at 10^15: %v", err)
	}
}

func TestDateOf(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	instant := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC).UnixNano()
	for zone, want := range map[*time.Location]string{time.UTC: "2026-11-20", berlin: "2026-11-21"} {
		got := DateOf(instant, zone)
		if got.String() != want {
			t.Errorf("in %s it is %s, want %s", zone, got, want)
		}
		if back := DateOf(got.In(zone).UnixNano(), zone); back != got {
			t.Errorf("%s begins on %s", got, back)
		}
	}
	for _, c := range []struct {
		date Date
		text string
	}{{0, "1970-01-01"}, {-1, "1969-12-31"}, {20777, "2026-11-20"}, {10595, "1999-01-04"}, {11016, "2000-02-29"}} {
		got, err := ParseDate(c.text)
		if c.date.String() != c.text || got != c.date || err != nil {
			t.Errorf("%d is %s, want %s; read %d, %v", c.date, c.date, c.text, got, err)
		}
	}
	for _, text := range []string{"", "2026-13-01", "2026-11-20T00:00:00Z", "20.11.2026"} {
		if _, err := ParseDate(text); err == nil {
			t.Errorf("%q is a date", text)
		}
	}
}
