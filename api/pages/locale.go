package pages

import (
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

const (
	noBreak       = "\u00a0"
	narrowNoBreak = "\u202f"
	minus         = "\u2212"
)

// locale is how a browser's language writes numbers. Words stay English; separators and the place of
// the currency follow the reader.
type locale struct {
	group, decimal string
	minGroup       int  // digits before the first separator is used at all: Spanish and Polish write 1000 plainly
	after          bool // the currency stands behind the number
}

var english = locale{group: ",", decimal: ".", minGroup: 4}

// locales by language, or by language and region where the region differs.
var locales = map[string]locale{
	"en":    english,
	"en-za": {group: noBreak, decimal: ",", minGroup: 4},
	"ja":    english,
	"zh":    english,
	"ko":    english,
	"th":    english,
	"he":    english,
	"de":    {group: ".", decimal: ",", minGroup: 4, after: true},
	"de-at": {group: noBreak, decimal: ",", minGroup: 4},
	"de-ch": {group: "’", decimal: ".", minGroup: 4},
	"de-li": {group: "’", decimal: ".", minGroup: 4},
	"fr":    {group: narrowNoBreak, decimal: ",", minGroup: 4, after: true},
	"es":    {group: ".", decimal: ",", minGroup: 5, after: true},
	"es-mx": english,
	"it":    {group: ".", decimal: ",", minGroup: 4, after: true},
	"nl":    {group: ".", decimal: ",", minGroup: 4},
	"pt":    {group: ".", decimal: ",", minGroup: 4},
	"pt-pt": {group: noBreak, decimal: ",", minGroup: 5, after: true},
	"da":    {group: ".", decimal: ",", minGroup: 4, after: true},
	"id":    {group: ".", decimal: ",", minGroup: 4},
	"tr":    {group: ".", decimal: ",", minGroup: 4},
	"el":    {group: ".", decimal: ",", minGroup: 4, after: true},
	"sv":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"nb":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"no":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"fi":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"cs":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"sk":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"pl":    {group: noBreak, decimal: ",", minGroup: 5, after: true},
	"hu":    {group: noBreak, decimal: ",", minGroup: 5, after: true},
	"ru":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
	"uk":    {group: noBreak, decimal: ",", minGroup: 4, after: true},
}

// localeOf picks the best known language of an Accept-Language header; English when there is none.
func localeOf(header string) locale {
	best, weight := english, 0.0
	for i, part := range strings.Split(header, ",") {
		if i == 20 { // more languages than anybody speaks
			break
		}
		tag, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(parameters), "q="); ok {
			parsed, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		if q <= weight {
			continue
		}
		tag = strings.ToLower(strings.TrimSpace(tag))
		language, _, _ := strings.Cut(tag, "-")
		if l, ok := locales[tag]; ok {
			best, weight = l, q
		} else if l, ok := locales[language]; ok {
			best, weight = l, q
		}
	}
	return best
}

// plain writes the text of a decimal ("-1234.5") with the locale's separators.
func (l locale) plain(text string) string {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, hasFraction := strings.Cut(digits, ".")
	var b strings.Builder
	b.Grow(len(text) + len(text)/2)
	if negative {
		b.WriteString(minus)
	}
	if len(whole) < l.minGroup {
		b.WriteString(whole)
	} else {
		for i := range len(whole) {
			if i > 0 && (len(whole)-i)%3 == 0 {
				b.WriteString(l.group)
			}
			b.WriteByte(whole[i])
		}
	}
	if hasFraction {
		b.WriteString(l.decimal)
		b.WriteString(fraction)
	}
	return b.String()
}

func (l locale) number(d money.Decimal) string { return l.plain(d.String()) }
func (l locale) count(n int64) string          { return l.plain(strconv.FormatInt(n, 10)) }

// symbols of currencies that a reader cannot mistake for another; all others are written as their code.
var symbols = map[string]string{"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹", "KRW": "₩"}

func (l locale) withCurrency(number, currency string) string {
	symbol, known := symbols[currency]
	if !known {
		symbol = currency
	}
	switch {
	case symbol == "":
		return number
	case l.after:
		return number + noBreak + symbol
	}
	sign := ""
	if rest, ok := strings.CutPrefix(number, minus); ok {
		sign, number = minus, rest
	}
	if !known {
		symbol += noBreak
	}
	return sign + symbol + number
}

func placesOf(currency string) int {
	if c, ok := money.LookupCurrency(currency); ok {
		return c.Places
	}
	return 2
}

// money writes an amount in the currency's own decimals, rounded half away from zero.
func (l locale) money(d money.Decimal, currency string) string {
	places := placesOf(currency)
	rounded, err := d.Round(places, money.RoundHalfUp)
	if err != nil { // within half a unit of the largest number there is
		return l.exact(d, currency)
	}
	return l.withCurrency(l.plain(rounded.Places(places)), currency)
}

// small is money, except that what would round to zero says so instead of looking free.
func (l locale) small(d money.Decimal, currency string) string {
	places := placesOf(currency)
	rounded, err := d.Round(places, money.RoundHalfUp)
	if err != nil || !rounded.IsZero() || d.IsZero() {
		return l.money(d, currency)
	}
	least := "1"
	if places > 0 {
		least = "0." + strings.Repeat("0", places-1) + "1"
	}
	if d.Sign() < 0 {
		return ">" + noBreak + l.withCurrency(minus+l.plain(least), currency)
	}
	return "<" + noBreak + l.withCurrency(l.plain(least), currency)
}

// exact writes an amount with all the digits that it has, at least the currency's own.
func (l locale) exact(d money.Decimal, currency string) string {
	text := d.String()
	places := placesOf(currency)
	_, fraction, _ := strings.Cut(text, ".")
	if missing := places - len(fraction); missing > 0 {
		if fraction == "" {
			text += "."
		}
		text += strings.Repeat("0", missing)
	}
	return l.withCurrency(l.plain(text), currency)
}

// full writes all 12 decimals and the currency's code: what stands behind every rounded amount.
func (l locale) full(d money.Decimal, currency string) string {
	return l.plain(d.Fixed()) + noBreak + currency
}

// signed puts a plus before what is positive.
func signed(text string, sign int) string {
	if sign > 0 {
		return "+" + text
	}
	return text
}

// equation rewrites the numbers inside a piece of arithmetic ("1000 × 0.1 = 100") with the locale's
// separators, so that one page never mixes two ways of writing numbers.
func (l locale) equation(text string) string {
	var b strings.Builder
	b.Grow(len(text) + 16)
	for i := 0; i < len(text); {
		if !isDigit(text[i]) || (i > 0 && isWord(text[i-1])) {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := i
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		if end+1 < len(text) && text[end] == '.' && isDigit(text[end+1]) {
			end++
			for end < len(text) && isDigit(text[end]) {
				end++
			}
		}
		b.WriteString(l.plain(text[i:end]))
		i = end
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isWord tells bytes after which digits belong to a name (tier1, c-1, 2026-01) and not to a number.
func isWord(c byte) bool {
	return isDigit(c) || c == '_' || c == '-' || c == ':' || c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
