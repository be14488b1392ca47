package money

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/apd/v3"
	"pgregory.net/rapid"
)

// The oracle: integers of any size, in units of 10^-12.

var bigScale = big.NewInt(scaleFactor)

func toBig(d Decimal) *big.Int {
	b := d.magnitude().big()
	if d.hi < 0 {
		b.Neg(b)
	}
	return b
}

// fromBig gives false for what a Decimal cannot hold.
func fromBig(b *big.Int) (Decimal, bool) {
	if b.BitLen() > 127 {
		return Decimal{}, false
	}
	return fromMagnitude(u128FromBig(new(big.Int).Abs(b)), b.Sign() < 0), true
}

// agrees fails unless (got, err) is want, or an overflow where want does not fit.
func agrees(t *rapid.T, what string, got Decimal, err error, want *big.Int) {
	t.Helper()
	expected, fits := fromBig(want)
	if (fits && (err != nil || got != expected)) || (!fits && err != ErrOverflow) {
		t.Fatalf("%s = %s, %v; want %s units", what, got, err, want)
	}
}

// roundQuotient divides and rounds, written with fractions and from the modes' definitions.
func roundQuotient(a, b *big.Int, mode RoundingMode) *big.Int {
	exact := new(big.Rat).SetFrac(a, b)
	floor := new(big.Int).Div(exact.Num(), exact.Denom()) // Denom is positive: Euclidean is floor
	above := new(big.Rat).Sub(exact, new(big.Rat).SetInt(floor))
	half := above.Cmp(big.NewRat(1, 2))
	up := false
	switch mode {
	case RoundCeil:
		up = above.Sign() > 0
	case RoundHalfUp:
		up = half > 0 || (half == 0 && exact.Sign() > 0)
	case RoundHalfEven:
		up = half > 0 || (half == 0 && floor.Bit(0) == 1)
	}
	if up {
		floor.Add(floor, big.NewInt(1))
	}
	return floor
}

// decimals draws values of every size, and the neighbourhoods of powers of two and ten.
func decimals() *rapid.Generator[Decimal] {
	return rapid.Custom(func(t *rapid.T) Decimal {
		var b *big.Int
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			b = big.NewInt(rapid.Int64().Draw(t, "small"))
		case 1:
			b = new(big.Int).Lsh(big.NewInt(1), rapid.UintRange(0, 126).Draw(t, "bits"))
			b.Add(b, big.NewInt(rapid.Int64Range(-2, 2).Draw(t, "off")))
		case 2:
			b = pow10[rapid.IntRange(0, 38).Draw(t, "tens")].big()
			b.Mul(b, big.NewInt(rapid.Int64Range(-1, 1).Draw(t, "sign")))
			b.Add(b, big.NewInt(rapid.Int64Range(-2, 2).Draw(t, "off")))
		default:
			b = u128{rapid.Uint64().Draw(t, "hi") >> 1, rapid.Uint64().Draw(t, "lo")}.big()
			b.Rsh(b, rapid.UintRange(0, 127).Draw(t, "shift"))
		}
		if rapid.Bool().Draw(t, "negative") {
			b.Neg(b)
		}
		d, fits := fromBig(b)
		if !fits {
			t.Fatalf("drew %s", b)
		}
		return d
	})
}

func TestArithmeticAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := decimals().Draw(t, "a"), decimals().Draw(t, "b")
		x, y := toBig(a), toBig(b)
		got, err := a.Add(b)
		agrees(t, "add", got, err, new(big.Int).Add(x, y))
		got, err = a.Sub(b)
		agrees(t, "sub", got, err, new(big.Int).Sub(x, y))
		got, err = a.Mul(b)
		agrees(t, "mul", got, err, roundQuotient(new(big.Int).Mul(x, y), bigScale, RoundHalfUp))
		if !b.IsZero() {
			got, err = CeilDiv(a, b)
			agrees(t, "ceil div", got, err, new(big.Int).Mul(roundQuotient(x, y, RoundCeil), bigScale))
			got, err = a.Div(b)
			agrees(t, "div", got, err, roundQuotient(new(big.Int).Mul(x, bigScale), y, RoundHalfUp))
		}
		if a.Cmp(b) != x.Cmp(y) || a.Sign() != x.Sign() || (a == b) != (x.Cmp(y) == 0) {
			t.Fatalf("order of %s and %s", a, b)
		}
		if toBig(a.Neg()).Cmp(new(big.Int).Neg(x)) != 0 || toBig(a.Abs()).Cmp(new(big.Int).Abs(x)) != 0 {
			t.Fatalf("negation of %s", a)
		}
	})
}

// TestLongDivision meets estimates that are one or two too large, and divisors with their highest word full.
func TestLongDivision(t *testing.T) {
	words := func(t *rapid.T, label string) u128 {
		word := rapid.SampledFrom([]uint64{0, 1, 2, 1 << 32, 1<<63 - 1, 1 << 63, 1<<63 + 1, 1<<64 - 2, 1<<64 - 1})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, label), 0))
		if rapid.Bool().Draw(t, label+" at random") {
			return u128{random.Uint64() >> rapid.IntRange(0, 63).Draw(t, "shift"), random.Uint64()}
		}
		return u128{word.Draw(t, label), word.Draw(t, label)}
	}
	rapid.Check(t, func(t *rapid.T) {
		low, high, v := words(t, "low"), words(t, "high"), words(t, "v")
		if v.isZero() {
			return
		}
		u := u256{w0: low.lo, w1: low.hi, w2: high.lo}
		b := new(big.Int).Lsh(new(big.Int).SetUint64(u.w2), 128)
		b.Add(b, low.big())
		want, rest := new(big.Int).QuoRem(b, v.big(), new(big.Int))
		quotient, left, ok := u.div(v)
		if ok != (want.BitLen() <= 127) || ok && (quotient.big().Cmp(want) != 0 || left.big().Cmp(rest) != 0) {
			t.Fatalf("%v / %v is %v rest %v %v, want %v rest %v", u, v, quotient, left, ok, want, rest)
		}
	})
}

// TestProductAgainstBig looks at all 256 bits, most of which show in no Decimal.
func TestProductAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) // rapid's own numbers tend to be small
		a, b := u128{random.Uint64() >> 1, random.Uint64()}, u128{random.Uint64() >> 1, random.Uint64()}
		p := product256(a, b)
		got := new(big.Int).Lsh(u128{p.w3, p.w2}.big(), 128)
		got.Or(got, u128{p.w1, p.w0}.big())
		if want := new(big.Int).Mul(a.big(), b.big()); got.Cmp(want) != 0 {
			t.Fatalf("%v · %v = %v, want %v", a.big(), b.big(), got, want)
		}
	})
}

func TestRoundAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimals().Draw(t, "d")
		places := rapid.IntRange(-30, 13).Draw(t, "places")
		mode := rapid.SampledFrom([]RoundingMode{RoundHalfUp, RoundHalfEven, RoundCeil, RoundFloor}).Draw(t, "mode")
		got, err := d.Round(places, mode)
		want := toBig(d)
		if places < Scale {
			unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(Scale-places)), nil)
			want.Mul(roundQuotient(want, unit, mode), unit)
		}
		agrees(t, "round", got, err, want)
	})
}

func TestWideAgainstBig(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 255)
	rapid.Check(t, func(t *rapid.T) {
		var w Wide
		sum, over := new(big.Int), false
		for range rapid.IntRange(0, 8).Draw(t, "terms") {
			a, b := decimals().Draw(t, "a"), decimals().Draw(t, "b")
			product := new(big.Int).Mul(toBig(a), toBig(b))
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				w.AddProduct(a, b)
				sum.Add(sum, product)
			case 1:
				w.SubProduct(a, b)
				sum.Sub(sum, product)
			default:
				w.Add(a)
				sum.Add(sum, new(big.Int).Mul(toBig(a), bigScale))
			}
			over = over || sum.Cmp(limit) >= 0 || sum.Cmp(new(big.Int).Neg(limit)) < 0
		}
		got, err := w.Decimal()
		if over {
			if err != ErrOverflow {
				t.Fatalf("256 bits overflowed: %s, %v", got, err)
			}
			return
		}
		if w.IsZero() != (sum.Sign() == 0) {
			t.Fatalf("zero: %v, sum %s", w.IsZero(), sum)
		}
		agrees(t, "wide", got, err, roundQuotient(sum, bigScale, RoundHalfUp))
		n := rapid.OneOf(rapid.Int64Range(1, 1000), rapid.Int64Range(1, math.MaxInt64)).Draw(t, "n")
		got, err = w.Quo(n)
		divisor := new(big.Int).Mul(bigScale, big.NewInt(n))
		agrees(t, "quotient", got, err, roundQuotient(sum, divisor, RoundHalfUp))
		if back, err := WideFromBinary32(w.AppendBinary32(nil)); err != nil || back != w {
			t.Fatalf("%s came back as %v, %v", sum, back, err)
		}
	})
}

func TestWidesTogetherAgainstBig(t *testing.T) {
	limit := new(big.Int).Lsh(big.NewInt(1), 255)
	wide := rapid.Custom(func(t *rapid.T) Wide {
		w, err := WideFromBinary32(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "bytes"))
		if err != nil {
			t.Fatal(err)
		}
		return w
	})
	signed := func(w Wide) *big.Int {
		n := new(big.Int).SetBytes(w.AppendBinary32(nil))
		if n.Cmp(limit) >= 0 {
			n.Sub(n, new(big.Int).Lsh(limit, 1))
		}
		return n
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := wide.Draw(t, "a"), wide.Draw(t, "b")
		for name, join := range map[string]struct {
			do   func(*Wide, *Wide)
			want *big.Int
		}{
			"sum":        {(*Wide).AddWide, new(big.Int).Add(signed(a), signed(b))},
			"difference": {(*Wide).SubWide, new(big.Int).Sub(signed(a), signed(b))},
		} {
			got := a
			join.do(&got, &b)
			over := join.want.Cmp(limit) >= 0 || join.want.Cmp(new(big.Int).Neg(limit)) < 0
			if over != errors.Is(got.Err(), ErrOverflow) || !over && signed(got).Cmp(join.want) != 0 {
				t.Fatalf("%s %s, %v; want %s", name, signed(got), got.Err(), join.want)
			}
		}
		equal := a
		if a.Cmp(&b) != signed(a).Cmp(signed(b)) || a.Cmp(&equal) != 0 {
			t.Fatalf("%s against %s: %d, against itself: %d", signed(a), signed(b), a.Cmp(&b), a.Cmp(&equal))
		}
	})
}

func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := decimals().Draw(t, "d")
		want := new(big.Rat).SetFrac(toBig(d), bigScale)
		if d.Fixed() != strings.Replace(want.FloatString(Scale), "-0.000000000000", "0.000000000000", 1) {
			t.Fatalf("fixed %s, want %s", d.Fixed(), want.FloatString(Scale))
		}
		for _, text := range []string{d.String(), d.Fixed()} {
			if got, err := Parse(text); err != nil || got != d {
				t.Fatalf("%s came back as %s, %v", text, got, err)
			}
		}
		if s := d.String(); strings.Contains(s, ".") && (strings.HasSuffix(s, "0") || strings.HasSuffix(s, ".")) {
			t.Fatalf("%s is not the shortest text", s)
		}
		var fromJSON Decimal
		b, err := d.MarshalJSON()
		if err != nil || fromJSON.UnmarshalJSON(b) != nil || fromJSON != d {
			t.Fatalf("JSON %s came back as %s", b, fromJSON)
		}
		if got, err := FromBinary16(d.AppendBinary16(nil)); err != nil || got != d {
			t.Fatalf("binary of %s came back as %s, %v", d, got, err)
		}
	})
}

// apdParse reads text as apd does, within the grammar and the limits of Parse.
func apdParse(text string) (*big.Int, error) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return nil, ErrSyntax // apd also takes NaN, Inf and such
	}
	if mantissa, exponent, ok := strings.Cut(strings.ToLower(text), "e"); ok {
		// apd's exponents end at 100,000. More than four digits decide by themselves, whatever they are.
		digits := strings.TrimLeft(exponent, "+-")
		if len(exponent)-len(digits) > 1 || strings.ContainsAny(digits, "+-.e") {
			return nil, ErrSyntax
		}
		if significant := strings.TrimLeft(digits, "0"); len(significant) > 4 {
			text = mantissa + "e" + exponent[:len(exponent)-len(digits)] + "9999"
		}
	}
	d, _, err := apd.NewFromString(text)
	if err != nil || d.Form != apd.Finite {
		return nil, ErrSyntax
	}
	if d.IsZero() {
		return new(big.Int), nil
	}
	d.Reduce(d)
	switch {
	case d.Exponent < -Scale:
		return nil, ErrPrecision
	case int64(d.Exponent)+d.NumDigits() > 27:
		return nil, ErrOverflow
	}
	units := d.Coeff.MathBigInt()
	units.Mul(units, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(d.Exponent)+Scale), nil))
	if units.BitLen() > 127 {
		return nil, ErrOverflow
	}
	if d.Negative {
		units.Neg(units)
	}
	return units, nil
}

func TestParseAgainstApd(t *testing.T) {
	number := rapid.StringMatching(`[+-]?[0-9]{0,30}(\.[0-9]{0,15})?([eE][+-]?[0-9]{1,2})?`)
	noise := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789+-.eE_ xN")), 0, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(number, noise).Draw(t, "text")
		got, err := Parse(text)
		want, wantErr := apdParse(text)
		if err != wantErr || (err == nil && toBig(got).Cmp(want) != 0) {
			t.Fatalf("Parse(%q) = %s, %v; apd says %v, %v", text, got, err, want, wantErr)
		}
	})
}

// TestAllocateProperties: the parts sum to the total, none is a unit or more off its exact share,
// and equal weights differ by at most a unit, the earlier one never getting less.
func TestAllocateProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		places := rapid.IntRange(0, 4).Draw(t, "places")
		unit := pow10[Scale-places].big()
		total, _ := fromBig(new(big.Int).Mul(unit, big.NewInt(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "units"))))
		weights := rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, 50), FromInt), 1, 12).Draw(t, "weights")
		sum := new(big.Int)
		for _, w := range weights {
			sum.Add(sum, toBig(w))
		}
		if sum.Sign() == 0 {
			return
		}
		parts, err := Allocate(total, weights, places)
		if err != nil {
			t.Fatal(err)
		}
		left := total
		for i, part := range parts {
			left, _ = left.Sub(part)
			// |part · Σw − total · w| < unit · Σw
			off := new(big.Int).Mul(toBig(part), sum)
			off.Sub(off, new(big.Int).Mul(toBig(total), toBig(weights[i])))
			if off.CmpAbs(new(big.Int).Mul(unit, sum)) >= 0 || new(big.Int).Rem(toBig(part), unit).Sign() != 0 {
				t.Fatalf("part %d of %s over %v is %s", i, total, weights, part)
			}
			for j := range i {
				if weights[j] == weights[i] && part.Abs().Cmp(parts[j].Abs()) > 0 {
					t.Fatalf("of two equal weights the later got more: %v", parts)
				}
			}
		}
		if !left.IsZero() {
			t.Fatalf("%s is left of %s", left, total)
		}
	})
}
