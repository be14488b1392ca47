package usage

import (
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON out of a string that outlives it: strings without escapes and numbers are cut
// from it, not copied. It is our own because of what it does with bad input: a value that is wrong
// but ends in a known place (NaN, 01, broken UTF-8) costs its event only, where the libraries give
// up the document; numbers stay text, so that none passes through a float; and members that stand
// twice are seen. What it accepts, encoding/json accepts (FuzzParse).
type scanner struct {
	s       string
	at      int
	utf8OK  bool // the whole text is valid UTF-8, so that no string needs a check
	escapes bool // there is a backslash somewhere, so that strings may hold NUL
	broken  bool // the structure is lost; nothing can be read from here
}

// kind is what a JSON value is.
type kind uint8

const (
	kindNone    kind = iota // the structure is broken
	kindNull                // null
	kindString              // text is its content
	kindNumber              // text is the number as it stands
	kindBool                // text is true or false
	kindNested              // an object or array; text is its JSON as it stands
	kindNoJSON              // text is something that JSON does not know, like NaN
	kindNoUTF8              // a string with broken UTF-8 or half a surrogate pair; text is of no use
	kindControl             // a string with a control character that should have been escaped
)

const maxDepth = 64 // of nested values

// next skips white space and gives the next byte without taking it, 0 at the end.
func (sc *scanner) next() byte {
	for sc.at < len(sc.s) {
		c := sc.s[sc.at]
		if c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		sc.at++
	}
	return 0
}

// take takes the byte if it is the next one.
func (sc *scanner) take(c byte) bool {
	if sc.next() != c || c == 0 {
		return false
	}
	sc.at++
	return true
}

// expect takes the byte or gives up.
func (sc *scanner) expect(c byte) {
	if !sc.take(c) {
		sc.broken = true
	}
}

// open enters the object that starts here; false when it has no members or the structure is broken.
//
//	for more := sc.open(); more; more = sc.more() {
//		name, of := sc.member()
//		sc.value()
//	}
func (sc *scanner) open() bool {
	sc.expect('{')
	return !sc.take('}') && !sc.broken
}

// member reads a member's name, "" when the structure is broken; its value comes next.
func (sc *scanner) member() (name string, of kind) {
	if sc.next() == '"' {
		if of, name = sc.text(); sc.take(':') {
			return name, of
		}
	}
	sc.broken = true
	return "", kindNone
}

// more goes on to the next member of an object, behind the value of the last; false when it has ended or the structure is broken.
func (sc *scanner) more() bool {
	if sc.broken {
		return false
	}
	if sc.take(',') {
		return true
	}
	sc.expect('}')
	return false
}

// value reads any value; nested ones are passed over.
func (sc *scanner) value() (kind, string) {
	if sc.broken {
		return kindNone, ""
	}
	switch c := sc.next(); {
	case c == 0:
		sc.broken = true
		return kindNone, ""
	case c == '"':
		return sc.text()
	case c == '{' || c == '[':
		start := sc.at
		sc.skip(0)
		if sc.broken {
			return kindNone, ""
		}
		return kindNested, sc.s[start:sc.at]
	default:
		return sc.literal()
	}
}

// skip passes over a value.
func (sc *scanner) skip(depth int) {
	c := sc.next()
	if depth > maxDepth {
		sc.broken = true
	}
	if sc.broken || c != '{' && c != '[' {
		// A wrong literal inside something nested leaves no way to tell whether the rest is sound.
		if of, _ := sc.value(); of == kindNoJSON || of == kindNoUTF8 || of == kindControl {
			sc.broken = true
		}
		return
	}
	if c == '{' {
		for more := sc.open(); more; more = sc.more() {
			if _, of := sc.member(); of != kindString {
				sc.broken = true
			}
			sc.skip(depth + 1)
		}
		return
	}
	sc.at++
	if sc.take(']') {
		return
	}
	for !sc.broken {
		sc.skip(depth + 1)
		if !sc.take(',') {
			sc.expect(']')
			return
		}
	}
}

// literal reads a number, true, false, null, or whatever stands in place of them.
func (sc *scanner) literal() (kind, string) {
	start := sc.at
	for sc.at < len(sc.s) && !ends[sc.s[sc.at]] {
		sc.at++
	}
	text := sc.s[start:sc.at]
	switch {
	case text == "":
		sc.broken = true
		return kindNone, ""
	case isNumber(text):
		return kindNumber, text
	case text == "null":
		return kindNull, ""
	case text == "true" || text == "false":
		return kindBool, text
	default:
		return kindNoJSON, text
	}
}

// ends marks the bytes that end a literal.
var ends = [256]bool{' ': true, '\t': true, '\n': true, '\r': true, ',': true, ':': true, '"': true, '{': true, '}': true, '[': true, ']': true}

// isNumber checks the grammar of RFC 8259.
func isNumber(s string) bool {
	i := 0
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digitsAt(s, i)
	if whole == 0 || whole > 1 && s[i] == '0' {
		return false
	}
	i += whole
	if i < len(s) && s[i] == '.' {
		n := digitsAt(s, i+1)
		if n == 0 {
			return false
		}
		i += 1 + n
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		n := digitsAt(s, i)
		if n == 0 {
			return false
		}
		i += n
	}
	return i == len(s)
}

func digitsAt(s string, i int) int {
	n := 0
	for i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '9' {
		n++
	}
	return n
}

// plain marks the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainUntil gives the first place from i on whose byte does not stand for itself in a string; the length of s when there is none.
func plainUntil(s string, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		p := s[i : i+8]
		w := uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16 | uint64(p[3])<<24 | uint64(p[4])<<32 | uint64(p[5])<<40 | uint64(p[6])<<48 | uint64(p[7])<<56
		// In x-ones&^x&tops the lowest bit that is set belongs to the first byte of x that is zero. So with 0x20 in place
		// of 1 for the first byte below 0x20.
		quote, backslash := w^ones*'"', w^ones*'\\'
		if found := ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-ones*' ')&^w) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

// text reads a string that starts here.
func (sc *scanner) text() (kind, string) {
	start := sc.at + 1
	i := plainUntil(sc.s, start)
	if i < len(sc.s) && sc.s[i] == '"' {
		sc.at = i + 1
		return sc.checked(sc.s[start:i])
	}
	return sc.escaped(start, i)
}

// escaped reads the string that starts at start and stands for itself up to i.
func (sc *scanner) escaped(start, i int) (kind, string) {
	var b strings.Builder
	of := kindString
	for i < len(sc.s) {
		switch c := sc.s[i]; {
		case c == '"':
			b.WriteString(sc.s[start:i])
			sc.at = i + 1
			if of != kindString {
				return of, ""
			}
			return sc.checked(b.String())
		case c == '\\':
			b.WriteString(sc.s[start:i])
			r, n := unescape(sc.s[i:])
			if n == 0 {
				sc.broken = true
				return kindNone, ""
			}
			if r == utf8.RuneError && n > 2 && !strings.EqualFold(sc.s[i:i+n], `\ufffd`) {
				of = kindNoUTF8
			}
			b.WriteRune(r)
			i += n
			start = i
		default:
			if c < 0x20 {
				of = kindControl
			}
			i++
		}
	}
	sc.broken = true
	return kindNone, ""
}

func (sc *scanner) checked(s string) (kind, string) {
	if !sc.utf8OK && !utf8.ValidString(s) {
		return kindNoUTF8, ""
	}
	return kindString, s
}

// unescape reads one escape and gives the rune and the bytes it takes: none for no escape at all,
// utf8.RuneError for half a surrogate pair.
func unescape(s string) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	switch s[1] {
	case '"', '\\', '/':
		return rune(s[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r, ok := hex4(s)
		if !ok {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if low, ok := hex4(s[6:]); ok && s[6] == '\\' && s[7] == 'u' {
			if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
				return both, 12
			}
		}
		return utf8.RuneError, 6
	}
	return 0, 0
}

// hex4 reads the four digits of \uXXXX.
func hex4(s string) (r rune, ok bool) {
	if len(s) < 6 {
		return 0, false
	}
	for _, c := range []byte(s[2:6]) {
		r <<= 4
		switch {
		case c >= '0' && c <= '9':
			r |= rune(c - '0')
		case c >= 'a' && c <= 'f':
			r |= rune(c - 'a' + 10)
		case c >= 'A' && c <= 'F':
			r |= rune(c - 'A' + 10)
		default:
			return 0, false
		}
	}
	return r, true
}
