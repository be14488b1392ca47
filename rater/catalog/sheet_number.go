package catalog

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// decimalMark is which of point and comma stands before the decimals in a file; 0: no number tells.
type decimalMark byte

// Numbers that tell the mark by themselves, with a point as the mark: with decimals that are no group of three, with groups before the
// mark, or with several groups.
var (
	plainNumber     = regexp.MustCompile(`^[+-]?\d+$`)
	sureDecimals    = regexp.MustCompile(`^[+-]?(\d*\.(\d{1,2}|\d{4,})|0*\.\d+|\d{4,}\.\d+|0\d*\.\d+)([eE][+-]?\d+)?$`)
	sureGroups      = regexp.MustCompile(`^[+-]?\d{1,3}(,\d{3})+\.\d+$|^[+-]?[1-9]\d{0,2}(,\d{3}){2,}$`)
	groupOrDecimals = regexp.MustCompile(`^[+-]?[1-9]\d{0,2}[.,]\d{3}$`)
	withExponent    = regexp.MustCompile(`^[+-]?\d+[eE][+-]?\d+$`)
)

// swapMarks exchanges points and commas.
func swapMarks(s string) string {
	return strings.Map(func(c rune) rune {
		switch c {
		case '.':
			return ','
		case ',':
			return '.'
		}
		return c
	}, s)
}

// tells says which mark a number has; 0: it does not tell.
func tells(s string) decimalMark {
	pointed := func(s string) bool { return sureDecimals.MatchString(s) || sureGroups.MatchString(s) }
	switch {
	case pointed(s):
		return '.'
	case pointed(swapMarks(s)):
		return ','
	}
	return 0
}

// compact takes out the spaces and quotes between groups of digits.
func compact(s string) string {
	var b strings.Builder
	runes := []rune(s)
	for i, c := range runes {
		switch c {
		case ' ', '\u00a0', '\u202f', '\'', '’':
			if i > 0 && i+3 < len(runes) && digit(runes[i-1]) && digit(runes[i+1]) && digit(runes[i+2]) && digit(runes[i+3]) && (i+4 == len(runes) || !digit(runes[i+4])) {
				continue
			}
		}
		b.WriteRune(c)
	}
	return b.String()
}

func digit(c rune) bool { return c >= '0' && c <= '9' }

// number writes a number that somebody typed as a document has it, under the mark of its file. What is no number stays as it is, for the
// reader says what is wrong with it; doubt says what it could be instead.
func number(s string, mark decimalMark, pointOnly bool) (text, doubt string) {
	s = compact(s)
	own := tells(s)
	switch {
	case plainNumber.MatchString(s) || withExponent.MatchString(s):
		return strings.TrimPrefix(s, "+"), ""
	case groupOrDecimals.MatchString(s):
		point := strings.Contains(s, ".")
		switch {
		case mark == 0 && point && pointOnly:
			mark = '.'
		case mark == 0:
			whole, decimals, _ := strings.Cut(strings.ReplaceAll(s, ",", "."), ".")
			return s, "could be " + whole + decimals + " or " + whole + "." + decimals + ": write it without a separator of thousands, or with another decimal such as " + s + "0"
		}
	case own == 0:
		return s, ""
	case mark != 0 && own != mark:
		return s, "has another decimal mark than the other numbers of the file, which write " + string(rune(mark)) + ": use one of them"
	default:
		mark = own
	}
	if mark == ',' {
		s = swapMarks(s)
	}
	return strings.TrimPrefix(strings.ReplaceAll(s, ",", ""), "+"), ""
}

// spreadsheetDigits is how many digits a spreadsheet keeps of a number; what is stored beyond them is how its floating point falls.
const spreadsheetDigits = 15

// storedNumber writes a number that a spreadsheet stored as a document has it: without an exponent, rounded to the digits that it keeps. No
// floating point is involved.
func storedNumber(s string) (string, bool) {
	negative := strings.HasPrefix(s, "-")
	mantissa, exponent, has := strings.Cut(strings.ToLower(strings.TrimLeft(s, "+-")), "e")
	shift := 0
	if has {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift < -400 || shift > 400 {
			return s, false
		}
	}
	whole, decimals, _ := strings.Cut(mantissa, ".")
	digits := whole + decimals
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return s, false
	}
	point := len(whole) + shift // where in the digits the point stands
	trimmed := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(trimmed)
	if trimmed == "" {
		return "0", true
	}
	if len(trimmed) > spreadsheetDigits {
		up := trimmed[spreadsheetDigits] >= '5'
		kept := []byte(trimmed[:spreadsheetDigits])
		for i := len(kept) - 1; up && i >= 0; i-- {
			if kept[i] == '9' {
				kept[i] = '0'
				continue
			}
			kept[i]++
			up = false
		}
		if trimmed = string(kept); up {
			trimmed, point = "1"+trimmed, point+1
		}
	}
	trimmed = strings.TrimRight(trimmed, "0")
	var text string
	switch {
	case point <= 0:
		text = "0." + strings.Repeat("0", -point) + trimmed
	case point >= len(trimmed):
		text = trimmed + strings.Repeat("0", point-len(trimmed))
	default:
		text = trimmed[:point] + "." + trimmed[point:]
	}
	if negative {
		text = "-" + text
	}
	return text, true
}

// serialDate gives the date of a spreadsheet's number of days.
func serialDate(text string, from1904 bool) (string, bool) {
	text, ok := storedNumber(text)
	days, err := strconv.Atoi(text)
	if !ok || err != nil || days < 61 || days > 200_000 { // before March 1900 they count a day that there was not
		return "", false
	}
	day := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	if from1904 {
		day = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return day.AddDate(0, 0, days).Format(time.DateOnly), true
}

var pointedDate = regexp.MustCompile(`^(\d{1,2})\.(\d{1,2})\.(\d{4})$`)

// writtenDate turns 31.12.2026 into the form of a document; anything else stays as it is.
func writtenDate(text string) string {
	m := pointedDate.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	pad := func(s string) string { return strings.Repeat("0", 2-len(s)) + s }
	return m[3] + "-" + pad(m[2]) + "-" + pad(m[1])
}
