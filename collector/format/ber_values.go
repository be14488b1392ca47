package format

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// elementTypes are the ways in which the content of an element is read.
var elementTypes = map[string]func(content []byte) (string, error){
	"integer":  integerText,
	"unsigned": func(b []byte) (string, error) { return new(big.Int).SetBytes(b).Text(10), nil },
	"boolean":  func(b []byte) (string, error) { return strconv.FormatBool(len(b) > 0 && b[0] != 0), nil },
	"text":     utf8Text,
	"latin1":   func(b []byte) (string, error) { return latin1Text(b), nil },
	"hex":      func(b []byte) (string, error) { return hex.EncodeToString(b), nil },
	"bcd":      func(b []byte) (string, error) { return digits(b, true) },
	"tbcd":     func(b []byte) (string, error) { return digits(b, false) },
	"address":  addressText,
	"ip":       ipText,
	"time":     timestampText,
	// of ASN.1 itself
	"generalized": generalizedText,
	"utc":         utcText,
}

func integerText(b []byte) (string, error) {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n.Text(10), nil
}

func utf8Text(b []byte) (string, error) {
	if !utf8.Valid(b) {
		return "", errors.New("is no UTF-8 text; read it as latin1 or hex")
	}
	return string(b), nil
}

func latin1Text(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

// digits reads binary coded decimals: the high half of a byte first, or, as telephony has it (3GPP TS
// 29.002, TBCD-STRING), the low one. An f is filling.
func digits(b []byte, highFirst bool) (string, error) {
	const symbols = "0123456789*#abc"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		pair := [2]byte{c & 0x0f, c >> 4}
		if highFirst {
			pair = [2]byte{c >> 4, c & 0x0f}
		}
		for _, d := range pair {
			if d == 0x0f {
				continue
			}
			if highFirst && d > 9 {
				return "", fmt.Errorf("%x are no decimals", b)
			}
			out = append(out, symbols[d])
		}
	}
	return string(out), nil
}

// addressText reads an AddressString of 3GPP TS 29.002: its first byte says what kind of number it is, + stands for an international one.
func addressText(b []byte) (string, error) {
	if len(b) == 0 {
		return "", nil
	}
	number, err := digits(b[1:], false)
	if b[0]&0x70 == 0x10 {
		number = "+" + number
	}
	return number, err
}

func ipText(b []byte) (string, error) {
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return "", fmt.Errorf("%x is no address of 4 or 16 bytes", b)
	}
	return a.String(), nil
}

// timestampText reads the TimeStamp of 3GPP TS 32.298: YYMMDDhhmmss in decimals, the sign, and hhmm of
// the zone. Years are 2000 to 2099.
func timestampText(b []byte) (string, error) {
	if len(b) != 9 || b[6] != '+' && b[6] != '-' {
		return "", fmt.Errorf("%x is no time of 9 bytes", b)
	}
	date, err := digits(b[:6], true)
	zone, zoneErr := digits(b[7:], true)
	if err = errors.Join(err, zoneErr); err != nil {
		return "", err
	}
	return timeText("20"+date+string(b[6])+zone, "20060102150405-0700")
}

// generalizedText reads a GeneralizedTime of ITU-T X.680, which may have no zone.
func generalizedText(b []byte) (string, error) {
	if text, err := timeText(string(b), "20060102150405.999999999", "200601021504"); err == nil {
		return strings.TrimSuffix(text, "Z"), nil
	}
	return timeText(string(b), "20060102150405.999999999Z0700", "200601021504Z0700")
}

// utcText reads a UTCTime of ITU-T X.680. Years are 2000 to 2099.
func utcText(b []byte) (string, error) {
	return timeText("20"+string(b), "20060102150405Z0700", "200601021504Z0700")
}

func timeText(text string, layouts ...string) (string, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Format(time.RFC3339Nano), nil
		}
	}
	return "", fmt.Errorf("%q is no time", cut(strings.ToValidUTF8(text, "\ufffd")))
}
