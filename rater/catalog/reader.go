package catalog

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/tollstream/tollstream/ledger/money"
)

// reader turns nodes into definitions; everything that is wrong goes into its report.
type reader struct{ report }

// read reads one member.
type read func(n *node, at *place)

type field struct {
	name string
	read read
}

// object reads an object's members; those that are null count as left out.
func (r *reader) object(n *node, at *place, fields []field) {
	if n.form != nodeObject {
		r.fail(at, "must be an object, not %s", n.describe())
	}
	var seen uint64 // a bit for each field; objects have fewer than 64 members
next:
	for i, key := range n.keys {
		member := &place{up: at, name: key.text, line: key.line}
		for j := range fields {
			if fields[j].name != key.text {
				continue
			}
			if seen&(1<<j) != 0 {
				r.fail(member, "is written twice: leave one out")
				continue next
			}
			seen |= 1 << j
			if n.items[i].form != nodeNull {
				fields[j].read(n.items[i], member)
			}
			continue next
		}
		r.unknown(member, fields)
	}
}

func (r *reader) unknown(member *place, fields []field) {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	if len(member.name) > maxTextLength {
		member.name = member.name[:maxTextLength] + "…"
	}
	if name := closest(member.name, names); name != "" {
		r.fail(member, "is not known here: did you mean %s?", name)
		return
	}
	r.fail(member, "is not known here: known are %s", strings.Join(names, ", "))
}

// list reads each element of a list.
func (r *reader) list(element read) read {
	return func(n *node, at *place) {
		if n.form != nodeList {
			r.fail(at, "must be a list, not %s", n.describe())
			return
		}
		for i, item := range n.items {
			element(item, &place{up: at, index: i, line: item.line})
		}
	}
}

// objects reads a list of objects into definitions.
func objects[T any](r *reader, into *[]*T, fields func(d *T, at *place) []field) read {
	return r.list(func(n *node, at *place) {
		d := new(T)
		r.object(n, at, fields(d, at))
		*into = append(*into, d)
	})
}

// scalar gives the text of a scalar.
func (r *reader) scalar(n *node, at *place, what string) (string, bool) {
	if n.form != nodePlain && n.form != nodeQuoted {
		r.fail(at, "must be %s, not %s", what, n.describe())
		return "", false
	}
	return n.text, true
}

const (
	maxTextLength = 256
	maxIDLength   = 128
)

// text reads words for people and names that others chose.
func (r *reader) text(into *string) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "text")
		switch {
		case !ok:
		case s == "" || len(s) > maxTextLength:
			r.fail(at, "must have 1 to %d bytes, not %d", maxTextLength, len(s))
		case strings.ContainsFunc(s, unicode.IsControl):
			r.fail(at, "must not hold control characters: %q", s)
		default:
			*into = s
		}
	}
}

func (r *reader) texts(into *[]string) read {
	return r.list(func(n *node, at *place) {
		var s string
		r.text(&s)(n, at)
		if s != "" {
			*into = append(*into, s)
		}
	})
}

// id reads the id of a definition, or a reference to one. Ids stand in paths, URLs and in the ids
// that rates derive from them, which is why some characters are refused.
func (r *reader) id(kind Kind, into *string) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "an id")
		if !ok {
			return
		}
		if err := checkID(kind, s); err != nil {
			r.fail(at, "%v", err)
		}
		*into = s
	}
}

// kindRate is not the kind of a definition, but rates have ids of their own.
const kindRate Kind = "rate"

func checkID(kind Kind, s string) error {
	if s == "" || len(s) > maxIDLength {
		return fmt.Errorf("an id must have 1 to %d bytes, not %d", maxIDLength, len(s))
	}
	if s == "." || s == ".." {
		return fmt.Errorf("%q cannot be an id", s)
	}
	for _, c := range s {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || strings.ContainsRune("._-+", c):
		case c == ':' && kind != kindRate:
		case kind == KindAccount && unicode.IsGraphic(c) && !unicode.IsSpace(c) && !strings.ContainsRune(`/\#?%`, c):
		default:
			return fmt.Errorf("an id must not hold %q (in %q): use letters, digits and . _ - +", c, s)
		}
	}
	return nil
}

func (r *reader) decimal(into *money.Decimal) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "a number")
		if !ok {
			return
		}
		d, err := money.Parse(s)
		switch {
		case errors.Is(err, money.ErrPrecision):
			r.fail(at, "has more than %d decimals: %s", money.Scale, shorten(s))
		case errors.Is(err, money.ErrOverflow) || err == nil && !d.WithinLimit():
			r.fail(at, "must lie between -10^15 and 10^15, not %s", shorten(s))
		case err != nil:
			r.fail(at, "must be a decimal number such as 0.10, not %q", shorten(s))
		default:
			*into = d
		}
	}
}

func (r *reader) someDecimal(into **money.Decimal) read {
	return func(n *node, at *place) {
		d := new(money.Decimal)
		before := r.count()
		r.decimal(d)(n, at)
		if r.count() == before {
			*into = d
		}
	}
}

func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

func (r *reader) integer(into *int, low, high int) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "a whole number")
		if !ok {
			return
		}
		v, err := strconv.Atoi(s)
		if err != nil || v < low || v > high {
			r.fail(at, "must be a whole number from %d to %d, not %q", low, high, shorten(s))
			return
		}
		*into = v
	}
}

func (r *reader) boolean(into *bool) read {
	return func(n *node, at *place) {
		if n.form != nodePlain || n.text != "true" && n.text != "false" {
			r.fail(at, "must be true or false, not %s", n.describe())
		}
		*into = n.text == "true"
	}
}

func (r *reader) bound(into *Bound) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "a date or an instant")
		if !ok {
			return
		}
		b, err := parseBound(s)
		if err != nil {
			r.fail(at, "%v", err)
		}
		*into = b
	}
}

// choice reads one of several words; the first of them is the default and stored as nothing.
func (r *reader) choice(into *string, words ...string) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "one of "+strings.Join(words, ", "))
		if !ok {
			return
		}
		for i, word := range words {
			if s == word {
				*into = word
				if i == 0 {
					*into = ""
				}
				return
			}
		}
		r.fail(at, "must be one of %s, not %q", strings.Join(words, ", "), shorten(s))
	}
}

func (r *reader) currency(into *string) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "a currency")
		if !ok {
			return
		}
		if _, known := money.LookupCurrency(s); !known {
			r.fail(at, "%q is not a currency: use a code of ISO 4217 such as EUR", shorten(s))
		}
		*into = s
	}
}

func (r *reader) zone(into *string) read {
	return func(n *node, at *place) {
		s, ok := r.scalar(n, at, "a time zone")
		if !ok {
			return
		}
		if _, err := loadZone(s); err != nil {
			r.fail(at, "%v", err)
		}
		if *into = s; s == "UTC" {
			*into = ""
		}
	}
}

// unsupported refuses a member that the document's language has and this version has not.
func (r *reader) unsupported(supported string) read {
	return func(_ *node, at *place) {
		r.fail(at, "is not supported by this version: %s", supported)
	}
}

// closest finds the word that was probably meant: the same but for case, dashes and a plural, or one letter off; empty: none.
func closest(text string, words []string) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s)), "s")
	}
	near := ""
	for _, word := range words {
		a, b := plain(text), plain(word)
		switch {
		case a == b:
			return word
		case len(b) > 3 && oneLetterOff(a, b):
			near = word
		}
	}
	return near
}

// oneLetterOff says whether one letter more, less, other or exchanged with its neighbour makes one text the other.
func oneLetterOff(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		exchanged := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
		return exchanged || i < len(a) && a[i+1:] == b[i+1:]
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}
