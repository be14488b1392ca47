package money

import (
	"errors"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
	}{
		{"", ErrSyntax}, {" ", ErrSyntax}, {" 1", ErrSyntax}, {"1 ", ErrSyntax}, {"1\n", ErrSyntax},
		{"-", ErrSyntax}, {"+", ErrSyntax}, {".", ErrSyntax}, {"-.", ErrSyntax}, {"--1", ErrSyntax}, {"+-1", ErrSyntax},
		{"1.2.3", ErrSyntax}, {"1..2", ErrSyntax}, {"1,5", ErrSyntax}, {"1_000", ErrSyntax}, {"1'000", ErrSyntax},
		{"0x10", ErrSyntax}, {"0b1", ErrSyntax}, {"1f", ErrSyntax}, {"12abc", ErrSyntax}, {"abc", ErrSyntax}, {"$5", ErrSyntax},
		{"NaN", ErrSyntax}, {"nan", ErrSyntax}, {"sNaN", ErrSyntax}, {"Inf", ErrSyntax}, {"-Infinity", ErrSyntax}, {"null", ErrSyntax},
		{"e5", ErrSyntax}, {"1e", ErrSyntax}, {"1e+", ErrSyntax}, {"1e-", ErrSyntax}, {"1e1.5", ErrSyntax}, {"1e1e1", ErrSyntax}, {"1ee1", ErrSyntax},
		{"１", ErrSyntax}, {"−1", ErrSyntax}, {"\xff", ErrSyntax}, {"1\x00", ErrSyntax},
		// An error in the syntax wins over one in the size.
		{"1e999999999x", ErrSyntax}, {"0.00000000000001z", ErrSyntax},

		{"0.0000000000001", ErrPrecision}, {"1.1234567890123", ErrPrecision}, {"-1.0000000000001", ErrPrecision},
		{"1e-13", ErrPrecision}, {"1.5e-12", ErrPrecision}, {"123e-15", ErrPrecision}, {"1e-999999999", ErrPrecision},
		{"1000000000000000.0000000000001", ErrPrecision}, {"9." + strings.Repeat("9", 60), ErrPrecision},

		{"1e27", ErrOverflow}, {"1e999999999", ErrOverflow}, {"1E10000000000000000000", ErrOverflow}, {"-1E+999999999999999999999999", ErrOverflow},
		{"170141183460469231731687303.715884105728", ErrOverflow}, {"-170141183460469231731687303.715884105728", ErrOverflow},
		{"340282366920938463463374607431768211456", ErrOverflow}, {strings.Repeat("9", 60), ErrOverflow},
	} {
		got, err := Parse(c.text)
		if !errors.Is(err, c.want) || got != Zero {
			t.Errorf("Parse(%q) = %v, %v; want 0, %v", c.text, got, err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, shortest, fixed string }{
		{"0", "0", "0.000000000000"},
		{"-0", "0", "0.000000000000"},
		{"+0.000", "0", "0.000000000000"},
		{"0e999999999", "0", "0.000000000000"},
		{"0e-999999999", "0", "0.000000000000"},
		{"12.5", "12.5", "12.500000000000"},
		{"-12.50", "-12.5", "-12.500000000000"},
		{"+7", "7", "7.000000000000"},
		{".5", "0.5", "0.500000000000"},
		{"-.5", "-0.5", "-0.500000000000"},
		{"5.", "5", "5.000000000000"},
		{"007", "7", "7.000000000000"},
		{"1e3", "1000", "1000.000000000000"},
		{"1E3", "1000", "1000.000000000000"},
		{"1.25e+2", "125", "125.000000000000"},
		{"1E-12", "0.000000000001", "0.000000000001"},
		{"1000e-15", "0.000000000001", "0.000000000001"},
		{"1e0000000000000000000000003", "1000", "1000.000000000000"},
		{"0.123456789012", "0.123456789012", "0.123456789012"},
		{"0.1234567890120000000", "0.123456789012", "0.123456789012"},
		{"1." + strings.Repeat("0", 100), "1", "1.000000000000"},
		{"0." + strings.Repeat("0", 99) + "1e100", "1", "1.000000000000"},
		{"1" + strings.Repeat("0", 99) + "e-99", "1", "1.000000000000"},
		{strings.Repeat("0", 100) + "1", "1", "1.000000000000"},
		{"1000000000000000", "1000000000000000", "1000000000000000.000000000000"},
		{"170141183460469231731687303.715884105727", "170141183460469231731687303.715884105727", "170141183460469231731687303.715884105727"},
		{"-170141183460469231731687303.715884105727", "-170141183460469231731687303.715884105727", "-170141183460469231731687303.715884105727"},
	} {
		got, err := Parse(c.text)
		if err != nil || got.String() != c.shortest || got.Fixed() != c.fixed {
			t.Errorf("Parse(%q) = %s (%s), %v; want %s (%s)", c.text, got, got.Fixed(), err, c.shortest, c.fixed)
		}
	}
}

func TestLimit(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{"0", true}, {"1e15", true}, {"-1e15", true}, {"999999999999999.999999999999", true},
		{"1000000000000000.000000000001", false}, {"-1000000000000000.000000000001", false}, {"1e16", false},
	} {
		if got := MustParse(c.text).WithinLimit(); got != c.want {
			t.Errorf("%s within limit: %v, want %v", c.text, got, c.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		text   string
		places int
		want   string
	}{
		{"12.5", 2, "12.50"}, {"12.5", 0, "13"}, {"-12.5", 0, "-13"}, {"12.345", 2, "12.35"}, {"0.004", 2, "0.00"},
		{"-0.004", 2, "0.00"}, {"-0.005", 2, "-0.01"}, {"1234", 3, "1234.000"}, {"0", 0, "0"}, {"5", 12, "5.000000000000"},
		{"5", 40, "5.000000000000"}, {"15", -1, "15"}, {"99.995", 2, "100.00"},
		// The largest value cannot be rounded up; its digits are cut instead.
		{"170141183460469231731687303.715884105727", 0, "170141183460469231731687303"},
	} {
		if got := MustParse(c.text).Places(c.places); got != c.want {
			t.Errorf("%s with %d places: %s, want %s", c.text, c.places, got, c.want)
		}
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("MustParse accepted 1_000")
		}
	}()
	MustParse("1_000")
}

// TestParseCost: what a hostile sender chooses must not cost memory.
func TestParseCost(t *testing.T) {
	long := strings.Repeat("9", 1<<20)
	for _, text := range []string{
		"12.5", "NaN", "1e999999999", "-1e-999999999", "1e" + long, long, "0." + long, "0." + strings.Repeat("0", 1<<20) + "1",
	} {
		if n := testing.AllocsPerRun(3, func() { _, _ = Parse(text) }); n != 0 {
			t.Errorf("Parse(%.12q…, %d bytes) allocates %v times", text, len(text), n)
		}
	}
}
