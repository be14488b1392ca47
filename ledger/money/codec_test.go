package money

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestJSON(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string // empty: the error below
		err  error
	}{
		{`"12.5"`, "12.5", nil}, {`12.5`, "12.5", nil}, {`-0`, "0", nil}, {`1e3`, "1000", nil}, {`1E-12`, "0.000000000001", nil},
		{`0.1`, "0.1", nil}, {`1.10`, "1.1", nil}, {`"1e3"`, "1000", nil}, {`"\u0031\u002e5"`, "1.5", nil},
		// No float on the way: 2^53 + 1, and a number of 27 digits.
		{`9007199254740993`, "9007199254740993", nil}, {`123456789012345.123456789012`, "123456789012345.123456789012", nil},

		{`null`, "", ErrSyntax}, {`true`, "", ErrSyntax}, {`{}`, "", ErrSyntax}, {`[1]`, "", ErrSyntax}, {`""`, "", ErrSyntax}, {`"`, "", ErrSyntax}, {``, "", ErrSyntax},
		{`"NaN"`, "", ErrSyntax}, {`"Infinity"`, "", ErrSyntax}, {`"1_000"`, "", ErrSyntax}, {`" 1"`, "", ErrSyntax}, {`"0x10"`, "", ErrSyntax}, {`"\u00"`, "", ErrSyntax}, {`"a\""`, "", ErrSyntax},
		{`+1`, "", ErrSyntax}, {`.5`, "", ErrSyntax}, {`5.`, "", ErrSyntax}, {`1.e3`, "", ErrSyntax}, {`01`, "", ErrSyntax}, {`-`, "", ErrSyntax}, {`-01`, "", ErrSyntax}, {`NaN`, "", ErrSyntax},
		{`1e999999999`, "", ErrOverflow}, {`"1e999999999"`, "", ErrOverflow}, {`1e-999999999`, "", ErrPrecision}, {`0.0000000000001`, "", ErrPrecision},
	} {
		got := One
		err := got.UnmarshalJSON([]byte(c.in))
		if !errors.Is(err, c.err) || (c.err != nil && got != One) || (c.err == nil && got.String() != c.want) {
			t.Errorf("UnmarshalJSON(%s) = %s, %v; want %s, %v", c.in, got, err, c.want, c.err)
		}
	}
}

func TestJSONInsideStructs(t *testing.T) {
	var v struct {
		Quantity Decimal
		Absent   *Decimal
	}
	if err := json.Unmarshal([]byte(`{"Quantity": 0.30000000000000000, "Absent": null}`), &v); err != nil || v.Quantity != MustParse("0.3") || v.Absent != nil {
		t.Errorf("decoded %v, %v", v, err)
	}
	if b, err := json.Marshal(v); err != nil || string(b) != `{"Quantity":"0.3","Absent":null}` {
		t.Errorf("encoded %s, %v", b, err)
	}
	if b, err := json.Marshal(map[Decimal]int{MustParse("1.50"): 1}); err != nil || string(b) != `{"1.5":1}` {
		t.Errorf("encoded key %s, %v", b, err)
	}
	if err := json.Unmarshal([]byte(`{"Quantity": null}`), &v); !errors.Is(err, ErrSyntax) {
		t.Errorf("null became %v, %v", v.Quantity, err)
	}
}

func TestBinary(t *testing.T) {
	for _, text := range []string{"0", "1", "-1", "12.5", largest, "-" + largest} {
		d := MustParse(text)
		b := d.AppendBinary16([]byte("x"))
		if got, err := FromBinary16(b[1:]); len(b) != 17 || err != nil || got != d {
			t.Errorf("%s came back as %s, %v", d, got, err)
		}
	}
	if b := MustParse("-0.000000000002").AppendBinary16(nil); b[0] != 0xff || b[15] != 0xfe {
		t.Errorf("-2 units are %x", b)
	}
	for _, length := range []int{0, 15, 17} {
		if _, err := FromBinary16(make([]byte, length)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
	if _, err := FromBinary16(append([]byte{0x80}, make([]byte, 15)...)); !errors.Is(err, ErrOverflow) {
		t.Errorf("-2^127: %v", err)
	}
}

func TestWideBinary(t *testing.T) {
	var w Wide
	w.AddProduct(MustParse("-0.000000000001"), MustParse("0.000000000002"))
	if b := w.AppendBinary32([]byte("x")); len(b) != 33 || b[1] != 0xff || b[32] != 0xfe {
		t.Errorf("-2 units are %x", b)
	}
	for _, length := range []int{0, 31, 33} {
		if _, err := WideFromBinary32(make([]byte, length)); !errors.Is(err, ErrSyntax) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

func TestDatabase(t *testing.T) {
	for _, source := range []any{"12.500000000000", []byte("12.5"), "1.25e1"} {
		var d Decimal
		if err := d.Scan(source); err != nil || d != MustParse("12.5") {
			t.Errorf("scan %v: %s, %v", source, d, err)
		}
	}
	var d Decimal
	if err := d.Scan(int64(-3)); err != nil || d != FromInt(-3) {
		t.Errorf("scan int64: %s, %v", d, err)
	}
	for _, source := range []any{nil, 1.5, true, "NaN", []byte("")} {
		if err := d.Scan(source); !errors.Is(err, ErrSyntax) {
			t.Errorf("scan %v: %v", source, err)
		}
	}
	if v, err := MustParse("-0.10").Value(); err != nil || v != "-0.1" {
		t.Errorf("value %v, %v", v, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0", "-12.5", "1e3", "1E-12", "1e999999999", "NaN", "1_000", "0x1p3", ".5", "5.", largest, "0.0000000000001", "+", "e1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := Parse(text)
		fromBytes, errBytes := ParseBytes([]byte(text))
		if got != fromBytes || err != errBytes {
			t.Fatalf("text %s, %v; bytes %s, %v", got, err, fromBytes, errBytes)
		}
		if len(text) > 5000 {
			return // apd's exponents are too short to judge it
		}
		want, wantErr := apdParse(text)
		if err != wantErr || (err == nil && toBig(got).Cmp(want) != 0) {
			t.Fatalf("Parse(%q) = %s, %v; apd says %v, %v", text, got, err, want, wantErr)
		}
		if err == nil {
			if again, err := Parse(got.String()); err != nil || again != got {
				t.Fatalf("%s does not come back: %s, %v", got, again, err)
			}
		}
	})
}

func FuzzUnmarshalJSON(f *testing.F) {
	for _, seed := range []string{`0`, `"12.5"`, `-1e3`, `null`, `"\u0031"`, `01`, `1.`, `"`, `""`, `1e999999999`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decimal
		if d.UnmarshalJSON(data) != nil {
			return
		}
		if !json.Valid(data) && data[0] != '"' { // what stands between quotes is checked as a number, not as JSON
			t.Fatalf("accepted %q", data)
		}
		b, err := d.MarshalJSON()
		var again Decimal
		if err != nil || again.UnmarshalJSON(b) != nil || again != d {
			t.Fatalf("%q gave %s, which does not come back", data, d)
		}
	})
}
