package money

import (
	"errors"
	"strings"
	"testing"
)

const largest = "170141183460469231731687303.715884105727"

// decimal parses, so that tables hold text only.
func decimal(t *testing.T, text string) Decimal {
	t.Helper()
	d, err := Parse(text)
	if err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return d
}

func TestArithmetic(t *testing.T) {
	add := func(a, b Decimal) (Decimal, error) { return a.Add(b) }
	sub := func(a, b Decimal) (Decimal, error) { return a.Sub(b) }
	mul := func(a, b Decimal) (Decimal, error) { return a.Mul(b) }
	for _, c := range []struct {
		name string
		do   func(a, b Decimal) (Decimal, error)
		a, b string
		want string // empty: ErrOverflow
	}{
		{"add", add, "0.1", "0.2", "0.3"},
		{"add", add, "-0.1", "0.1", "0"},
		{"add", add, "18446744.073709551615", "0.000000000001", "18446744.073709551616"}, // a carry into the upper half
		{"add", add, largest, "-" + largest, "0"},
		{"add", add, largest, "0.000000000001", ""},
		{"add", add, "-" + largest, "-0.000000000001", ""}, // -2^127 is left out
		{"add", add, "-" + largest, "-" + largest, ""},
		{"sub", sub, "1", "0.000000000001", "0.999999999999"},
		{"sub", sub, "18446744.073709551616", "0.000000000001", "18446744.073709551615"},
		{"sub", sub, "-" + largest, "0.000000000001", ""},
		{"sub", sub, "-1", largest, ""},
		{"sub", sub, "0", largest, "-" + largest},
		{"sub", sub, largest, "-1", ""},
		{"mul", mul, "100", "0.1", "10"},
		{"mul", mul, "-3", "0.5", "-1.5"},
		{"mul", mul, "-3", "-0.5", "1.5"},
		{"mul", mul, "1e15", "1e11", "100000000000000000000000000"},
		{"mul", mul, "1e15", "1e12", ""},
		{"mul", mul, largest, "1", largest},
		{"mul", mul, "-" + largest, "1", "-" + largest},
		{"mul", mul, largest, "1.000000000001", ""},
		{"mul", mul, largest, largest, ""},
		// Half away from zero at the 12th decimal: 0.000001 · 0.0000005 is half a unit.
		{"mul", mul, "0.000001", "0.0000005", "0.000000000001"},
		{"mul", mul, "-0.000001", "0.0000005", "-0.000000000001"},
		{"mul", mul, "0.000001", "0.000000499999", "0"},
		{"mul", mul, "-0.000001", "0.000000499999", "0"},
		{"mul", mul, "0.333333333333", "0.333333333333", "0.111111111111"},
		{"ceil div", CeilDiv, "45", "20", "3"},
		{"ceil div", CeilDiv, "40", "20", "2"},
		{"ceil div", CeilDiv, "40.000000000001", "20", "3"},
		{"ceil div", CeilDiv, "-45", "20", "-2"},
		{"ceil div", CeilDiv, "45", "-20", "-2"},
		{"ceil div", CeilDiv, "-45", "-20", "3"},
		{"ceil div", CeilDiv, "0", "7", "0"},
		{"ceil div", CeilDiv, "0.1", "1e15", "1"},
		{"ceil div", CeilDiv, largest, largest, "1"},
		{"ceil div", CeilDiv, largest, "1", ""}, // rounds up beyond the largest
		{"ceil div", CeilDiv, "1e26", "1e12", "100000000000000"},
		{"ceil div", CeilDiv, "1e26", "99999999999999.999999999999", "1000000000001"},
		{"ceil div", CeilDiv, "1e15", "0.000000000001", ""},
	} {
		got, err := c.do(decimal(t, c.a), decimal(t, c.b))
		switch {
		case c.want == "":
			if !errors.Is(err, ErrOverflow) {
				t.Errorf("%s %s, %s = %s, %v; want overflow", c.name, c.a, c.b, got, err)
			}
		case err != nil || got != decimal(t, c.want):
			t.Errorf("%s %s, %s = %s, %v; want %s", c.name, c.a, c.b, got, err, c.want)
		}
	}
	if _, err := CeilDiv(One, Zero); !errors.Is(err, ErrDivision) {
		t.Errorf("division by zero: %v", err)
	}
}

func TestSignAndOrder(t *testing.T) {
	order := []string{"-" + largest, "-18446744.073709551616", "-1", "-0.000000000001", "0", "0.000000000001", "1", "18446744.073709551616", largest}
	for i, a := range order {
		d := decimal(t, a)
		if want := max(-1, min(1, i-4)); d.Sign() != want || d.IsZero() != (want == 0) || d.Neg().Sign() != -want {
			t.Errorf("sign of %s: %d", a, d.Sign())
		}
		if d.Neg().Neg() != d || d.Abs().Sign() < 0 || d.Abs() != d.Neg().Abs() {
			t.Errorf("negation of %s", a)
		}
		for j, b := range order {
			if want := max(-1, min(1, i-j)); d.Cmp(decimal(t, b)) != want {
				t.Errorf("%s compared to %s is not %d", a, b, want)
			}
		}
	}
	if FromInt(-1<<63).String() != "-9223372036854775808" || FromInt(1<<63-1).String() != "9223372036854775807" {
		t.Error("FromInt at its ends")
	}
}

func TestRound(t *testing.T) {
	modes := []RoundingMode{RoundNone, RoundHalfUp, RoundHalfEven, RoundCeil, RoundFloor}
	for _, c := range []struct {
		text   string
		places int
		want   [5]string // in the order of modes; empty: overflow
	}{
		{"123.456", 2, [5]string{"123.456", "123.46", "123.46", "123.46", "123.45"}},
		{"123.456", 0, [5]string{"123.456", "123", "123", "124", "123"}},
		{"123.456", -2, [5]string{"123.456", "100", "100", "200", "100"}},
		{"-123.456", 0, [5]string{"-123.456", "-123", "-123", "-123", "-124"}},
		{"2.5", 0, [5]string{"2.5", "3", "2", "3", "2"}},
		{"3.5", 0, [5]string{"3.5", "4", "4", "4", "3"}},
		{"-2.5", 0, [5]string{"-2.5", "-3", "-2", "-2", "-3"}},
		{"0.5", 0, [5]string{"0.5", "1", "0", "1", "0"}},
		{"-0.5", 0, [5]string{"-0.5", "-1", "0", "0", "-1"}},
		{"50", -2, [5]string{"50", "100", "0", "100", "0"}},
		{"5", 0, [5]string{"5", "5", "5", "5", "5"}},
		{"0", -40, [5]string{"0", "0", "0", "0", "0"}},
		{"1.000000000001", 12, [5]string{"1.000000000001", "1.000000000001", "1.000000000001", "1.000000000001", "1.000000000001"}},
		{"1.000000000001", 99, [5]string{"1.000000000001", "1.000000000001", "1.000000000001", "1.000000000001", "1.000000000001"}},
		{"1", -26, [5]string{"1", "0", "0", "100000000000000000000000000", "0"}},
		{"1", -27, [5]string{"1", "0", "0", "", "0"}},
		{"-1", -1000, [5]string{"-1", "0", "0", "0", ""}},
		{largest, 11, [5]string{largest, "", "", "", "170141183460469231731687303.71588410572"}},
		{largest, -26, [5]string{largest, "", "", "", "100000000000000000000000000"}},
	} {
		for i, mode := range modes {
			got, err := decimal(t, c.text).Round(c.places, mode)
			if c.want[i] == "" {
				if !errors.Is(err, ErrOverflow) {
					t.Errorf("%s to %d %s = %s, %v; want overflow", c.text, c.places, mode, got, err)
				}
			} else if err != nil || got != decimal(t, c.want[i]) {
				t.Errorf("%s to %d %s = %s, %v; want %s", c.text, c.places, mode, got, err, c.want[i])
			}
		}
	}
}

func TestWide(t *testing.T) {
	// Three halves of the last decimal: rounding each product would give 3 units, the sum rounds to 2.
	var w Wide
	for range 3 {
		w.AddProduct(decimal(t, "0.000001"), decimal(t, "0.0000005"))
	}
	if got, err := w.Decimal(); err != nil || got != decimal(t, "0.000000000002") {
		t.Errorf("three halves: %s, %v", got, err)
	}
	// A sum that leaves the range of a Decimal on the way and comes back.
	w = Wide{}
	w.AddProduct(decimal(t, largest), decimal(t, largest))
	if _, err := w.Decimal(); !errors.Is(err, ErrOverflow) {
		t.Errorf("the largest squared fits: %v", err)
	}
	w.Add(decimal(t, "7.5"))
	w.SubProduct(decimal(t, largest), decimal(t, largest))
	if got, err := w.Decimal(); err != nil || got != decimal(t, "7.5") || w.IsZero() {
		t.Errorf("there and back: %s, %v", got, err)
	}
	w.Add(decimal(t, "-7.5"))
	if !w.IsZero() {
		t.Error("7.5 - 7.5 is not zero")
	}
	// Beyond 256 bits the overflow stays, even when the sum would come back. Four terms wrap around to
	// a small number, which must not pass for the sum.
	for _, sign := range []Decimal{One, One.Neg()} {
		w = Wide{}
		big, _ := decimal(t, largest).Mul(sign)
		for range 4 {
			w.AddProduct(big, decimal(t, largest))
		}
		if got, err := w.Decimal(); !errors.Is(err, ErrOverflow) {
			t.Errorf("256 bits wrapped around: %s, %v", got, err)
		}
		for range 4 {
			w.SubProduct(big, decimal(t, largest))
		}
		if _, err := w.Decimal(); !errors.Is(err, ErrOverflow) || w.IsZero() {
			t.Errorf("overflow of 256 bits is forgotten: %v", err)
		}
		if _, err := w.Quo(1); !errors.Is(err, ErrOverflow) {
			t.Errorf("overflow of 256 bits is forgotten by a division: %v", err)
		}
		for name, join := range map[string]func(*Wide, *Wide){"sum": (*Wide).AddWide, "difference": (*Wide).SubWide} {
			var into Wide
			if join(&into, &w); !errors.Is(into.Err(), ErrOverflow) {
				t.Errorf("overflow of 256 bits is forgotten by a %s", name)
			}
			small, overflowed := Wide{}, w
			if join(&overflowed, &small); !errors.Is(overflowed.Err(), ErrOverflow) {
				t.Errorf("overflow of 256 bits is forgotten before a %s", name)
			}
		}
	}
	// Half of the 12th decimal rounds away from zero, less than half to zero.
	for _, c := range []struct {
		a, b string
		n    int64
		want string
		err  error
	}{
		{"10", "1", 4, "2.5", nil},
		{"-10", "1", 3, "-3.333333333333", nil},
		{"20", "1", 3, "6.666666666667", nil},
		{"0.000000000001", "1", 2, "0.000000000001", nil},
		{"-0.000000000001", "1", 2, "-0.000000000001", nil},
		{"0.000000000001", "0.999999999999", 2, "0", nil},
		{"1", "1", 0, "0", ErrDivision},
		{"1", "1", -1, "0", ErrDivision},
		{largest, "2", 2, largest, nil},
		{largest, "2", 1, "0", ErrOverflow},
	} {
		w = Wide{}
		w.AddProduct(decimal(t, c.a), decimal(t, c.b))
		if got, err := w.Quo(c.n); !errors.Is(err, c.err) || got != decimal(t, c.want) {
			t.Errorf("%s × %s / %d = %s, %v; want %s", c.a, c.b, c.n, got, err, c.want)
		}
	}
}

func TestArithmeticDoesNotAllocate(t *testing.T) {
	a, b := decimal(t, "123456.789"), decimal(t, "-98765432109876.54321")
	if n := testing.AllocsPerRun(10, func() {
		_, _ = a.Add(b)
		_, _ = a.Sub(b)
		_, _ = b.Mul(a)
		_, _ = b.Round(-3, RoundHalfEven)
		_, _ = CeilDiv(b, a)
		var w Wide
		w.AddProduct(a, b)
		w.Add(a)
		_, _ = w.Decimal()
		_, _ = w.Quo(7)
		v := w
		w.AddWide(&v)
		w.SubWide(&v)
		_ = w.Cmp(&v)
		_ = w.Err()
	}); n != 0 {
		t.Errorf("arithmetic allocates %v times", n)
	}
}

func TestAllocate(t *testing.T) {
	for _, c := range []struct {
		total   string
		places  int
		weights []string
		want    []string
	}{
		{"100", 2, []string{"1", "1", "1"}, []string{"33.34", "33.33", "33.33"}},
		{"0.02", 2, []string{"1", "1", "1"}, []string{"0.01", "0.01", "0"}},
		{"-100", 2, []string{"1", "1", "1"}, []string{"-33.34", "-33.33", "-33.33"}},
		// Exact shares 8.57…, 4.28…, 17.14…: one yen is left, for the largest remainder.
		{"30", 0, []string{"2", "1", "4"}, []string{"9", "4", "17"}},
		{"10", 2, []string{"100", "50", "30", "20"}, []string{"5", "2.5", "1.5", "1"}},
		{"0.01", 2, []string{"0", "1", "0"}, []string{"0", "0.01", "0"}},
		{"0.01", 2, []string{"0", "1", "1"}, []string{"0", "0.01", "0"}},
		{"300", -2, []string{"1", "1"}, []string{"200", "100"}},
		{"0.000000000003", 12, []string{"0.5", "0.5"}, []string{"0.000000000002", "0.000000000001"}},
		{"0", 2, []string{"0", "0"}, []string{"0", "0"}},
		{"0", 2, nil, nil},
		{largest, 12, []string{"1e15", "1e15"}, []string{"85070591730234615865843651.857942052864", "85070591730234615865843651.857942052863"}},
	} {
		weights := make([]Decimal, len(c.weights))
		for i, w := range c.weights {
			weights[i] = decimal(t, w)
		}
		got, err := Allocate(decimal(t, c.total), weights, c.places)
		if err != nil || len(got) != len(c.want) {
			t.Errorf("allocate %s over %v: %v, %v", c.total, c.weights, got, err)
			continue
		}
		for i, want := range c.want {
			if got[i] != decimal(t, want) {
				t.Errorf("allocate %s over %v: %v, want %v", c.total, c.weights, got, c.want)
				break
			}
		}
	}
	for _, c := range []struct {
		total, weight string
		want          error
	}{
		{"0.001", "1", ErrPrecision}, {"1", "0", ErrWeights}, {"1", "-1", ErrWeights},
	} {
		if _, err := Allocate(decimal(t, c.total), []Decimal{decimal(t, c.weight)}, 2); !errors.Is(err, c.want) {
			t.Errorf("allocate %s over %s: %v, want %v", c.total, c.weight, err, c.want)
		}
	}
}

func TestCurrencies(t *testing.T) {
	for code, places := range map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3, "TND": 3, "CLF": 4, "UYW": 4, "ISK": 0, "HUF": 2, "XCG": 2} {
		if c, ok := LookupCurrency(code); !ok || c != (Currency{code, places}) {
			t.Errorf("%s: %v, %v", code, c, ok)
		}
	}
	for _, code := range []string{"", "usd", "XAU", "XXX", "XTS", "EURO", "ABC"} {
		if c, ok := LookupCurrency(code); ok {
			t.Errorf("%q is a currency: %v", code, c)
		}
	}
	listed := 0
	for _, codes := range iso4217 {
		listed += len(strings.Fields(codes))
	}
	for code, c := range currencies {
		if code != c.Code || len(code) != 3 {
			t.Errorf("entry %q: %v", code, c)
		}
	}
	if len(currencies) != listed {
		t.Errorf("%d currencies of %d listed: one stands twice", len(currencies), listed)
	}
}
