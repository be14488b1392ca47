package money

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// The bytes follow from m·16 + t·2 + sign, written as a varint by a few lines of another language.
func TestCompactBytes(t *testing.T) {
	for text, want := range map[string]string{
		"0":                 "00",
		"1":                 "18", // 1·16 + 4·2
		"-1":                "19",
		"1000":              "887d", // no fifth factor
		"2.5":               "c6b802",
		"0.125":             "d60f",
		"0.000001":          "14",
		"0.000000001":       "12",
		"0.000000000001":    "10",
		"-0.000000000001":   "11",
		"18446744.073709":   "d4bdadd0f78d43",
		"20000000":          "88a0cb9801", // two words before the factors are taken out
		"-1000000000000000": "8980a0e3a4fdb51c",
		// 2^60-1 is the largest m; 2^60 needs the whole number.
		"1152921.504606846975": "f0ffffffffffffffff01",
		"1152921.504606846976": "0e00000000000000001000000000000000",
	} {
		d := MustParse(text)
		b := d.AppendCompact(nil)
		if got := hex.EncodeToString(b); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
		if back, n, err := FromCompact(append(b, 0xff)); back != d || n != len(b) || err != nil {
			t.Errorf("%s: came back as %s, %d bytes, %v", text, back, n, err)
		}
	}
}

func TestCompactRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": {}, "cut varint": {0x80}, "factor 5": {0x1a}, "cut number": {0x0e, 1, 2},
		"11 bytes": bytes.Repeat([]byte{0xff}, 11), "smallest 128-bit number": append([]byte{0x0e, 0x80}, make([]byte, 15)...),
	} {
		if d, _, err := FromCompact(b); !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrOverflow) {
			t.Errorf("%s: %s, %v", name, d, err)
		}
	}
}

func TestCompactRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Numbers of any length, with any number of zeros behind.
		shift := rapid.IntRange(1, 127).Draw(t, "shift")
		m := u128{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		for range shift {
			m = u128{m.hi >> 1, m.lo>>1 | m.hi<<63}
		}
		for range rapid.IntRange(0, 5).Draw(t, "factors") {
			if more, over := m.mul64(1000); !over && !maxMagnitude.less(more) {
				m = more
			}
		}
		d := fromMagnitude(m, rapid.Bool().Draw(t, "negative"))
		b := d.AppendCompact(nil)
		if back, n, err := FromCompact(b); back != d || n != len(b) || err != nil {
			t.Fatalf("%s: came back as %s, %d bytes of %d, %v", d, back, n, len(b), err)
		}
		if len(b) > 17 {
			t.Fatalf("%s takes %d bytes", d, len(b))
		}
	})
}

func FuzzFromCompact(f *testing.F) {
	f.Add([]byte{0x18})
	f.Add(MustParse("-1152921.504606846976").AppendCompact(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, n, err := FromCompact(b)
		if err != nil {
			return
		}
		again := d.AppendCompact(nil)
		if len(again) > max(n, 17) {
			t.Fatalf("%x is read as %s, which takes %d bytes", b[:n], d, len(again))
		}
		if back, _, err := FromCompact(again); back != d || err != nil {
			t.Fatalf("%s came back as %s, %v", d, back, err)
		}
	})
}

func BenchmarkCompact(b *testing.B) {
	for _, text := range []string{"2.5", "1234.567", "1234567890123.45"} {
		b.Run(text, func(b *testing.B) {
			d, buffer := MustParse(text), make([]byte, 0, 32)
			b.ReportAllocs()
			for b.Loop() {
				buffer = d.AppendCompact(buffer[:0])
				if back, _, err := FromCompact(buffer); back != d || err != nil {
					b.Fatal(back, err)
				}
			}
		})
	}
}
