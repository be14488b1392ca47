package catalog

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// ownedName is an id or identifier and whose it is.
type ownedName struct {
	text  string
	owner string
	at    *place
}

// lookalikes finds names of two definitions of one kind that people take for one another.
func (l *linter) lookalikes() {
	var names []ownedName
	take := func(kind string) {
		l.alike(kind, names)
		names = names[:0]
	}
	titles := map[string][]ownedName{}
	for _, p := range l.d.products {
		names = append(names, ownedName{p.ID, p.ID, p.at.member("id")})
		for i, x := range p.Identifiers {
			names = append(names, ownedName{x, p.ID, &place{up: p.at.member("identifiers"), index: i, line: p.at.line}})
		}
		if p.Name != "" {
			titles[p.Name] = append(titles[p.Name], ownedName{p.Name, p.ID, p.at.member("name")})
		}
	}
	take("products")
	for _, c := range l.d.classes {
		names = append(names, ownedName{c.ID, c.ID, c.at.member("id")})
	}
	take("rate classes")
	for _, k := range l.d.packages {
		names = append(names, ownedName{k.ID, k.ID, k.at.member("id")})
	}
	take("packages")
	for _, a := range l.d.accounts {
		names = append(names, ownedName{a.ID, a.ID, a.at.member("id")})
		for _, x := range a.Identifiers {
			if x.at.up != nil {
				names = append(names, ownedName{x.Value, a.ID, &x.at})
			}
		}
	}
	take("accounts")
	for _, c := range l.d.contract {
		names = append(names, ownedName{c.ID, c.ID, c.at.member("id")})
	}
	take("contracts")
	for _, title := range slices.Sorted(maps.Keys(titles)) {
		if list := titles[title]; len(list) > 1 {
			l.note("same-name", list[1].at, "give each a name of its own: customers see it on the invoice", "the products %s and %s are both called %q", list[0].owner, list[1].owner, title)
		}
	}
}

func (l *linter) alike(kind string, names []ownedName) {
	first := make(map[string]ownedName, len(names))
	for _, n := range names {
		key := skeleton(n.text)
		other, known := first[key]
		if !known {
			first[key] = n
			continue
		}
		if other.owner != n.owner {
			l.warn("look-alike", n.at, "rename one of them if they are the same, or so that nobody takes one for the other",
				"%q of %s looks like %q of %s: two %s", n.text, n.owner, other.text, other.owner, kind)
		}
	}
}

// skeleton gives names that look alike one text: without case, spaces and punctuation, except between digits, and with letters of
// other scripts, O and l as the Latin letters and digits that they resemble.
func skeleton(s string) string {
	var b strings.Builder
	var before rune
	parted := false // by punctuation, since before
	for _, c := range s {
		if latin, ok := looksLike[c]; ok {
			c = latin
		}
		c = unicode.ToLower(c)
		switch {
		case c == 'o':
			c = '0'
		case c == 'l' || c == 'i':
			c = '1'
		case unicode.IsSpace(c):
			continue
		case !unicode.IsLetter(c) && !unicode.IsDigit(c):
			parted = true
			continue
		}
		if parted && unicode.IsDigit(before) && unicode.IsDigit(c) {
			b.WriteByte('-') // 1.10 is not 11.0
		}
		b.WriteRune(c)
		before, parted = c, false
	}
	if b.Len() == 0 {
		return s
	}
	return b.String()
}

// looksLike holds Cyrillic and Greek letters that are drawn as Latin ones.
var looksLike = map[rune]rune{
	'а': 'a', 'А': 'a', 'В': 'b', 'с': 'c', 'С': 'c', 'е': 'e', 'Е': 'e', 'Н': 'h', 'і': 'i', 'І': 'i', 'ј': 'j', 'К': 'k', 'к': 'k', 'М': 'm',
	'о': 'o', 'О': 'o', 'р': 'p', 'Р': 'p', 'ѕ': 's', 'Ѕ': 's', 'Т': 't', 'у': 'y', 'У': 'y', 'х': 'x', 'Х': 'x',
	'Α': 'a', 'α': 'a', 'Β': 'b', 'Ε': 'e', 'Ζ': 'z', 'Η': 'h', 'Ι': 'i', 'Κ': 'k', 'Μ': 'm', 'Ν': 'n', 'ν': 'v', 'Ο': 'o', 'ο': 'o', 'Ρ': 'p', 'ρ': 'p',
	'Τ': 't', 'Υ': 'y', 'Χ': 'x',
}
