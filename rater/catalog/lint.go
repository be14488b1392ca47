package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Severity says how sure it is that a finding is a mistake.
type Severity string

// The severities: a document with errors is refused; a warning is hardly ever meant; a note may well be.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityNote    Severity = "note"
)

// Finding is something in a document that is refused or looks like a mistake.
type Finding struct {
	Severity Severity `json:"severity"`
	Rule     string   `json:"rule"` // what was looked for: tier-order; "refused" of an error
	Line     int      `json:"line,omitempty"`
	Path     string   `json:"path,omitempty"`
	Message  string   `json:"message"`          // what is odd
	Advice   string   `json:"advice,omitempty"` // what to do; of an error the message says it
}

// maxFindings bounds what one look at a document tells; the rest is counted.
const maxFindings = 1000

// Findings is what a look at a document found, in the order of its lines.
type Findings struct {
	List []Finding `json:"findings"`
	More int       `json:"more"` // beyond the first thousand
}

// Count says how many findings of a severity are listed.
func (f *Findings) Count(s Severity) (n int) {
	for i := range f.List {
		if f.List[i].Severity == s {
			n++
		}
	}
	return n
}

// Text is the finding as compilers write theirs.
func (f *Finding) Text(file string) string {
	s := Issue{File: file, Line: f.Line, Message: string(f.Severity)}.String()
	if f.Path != "" {
		s += ": " + f.Path
	}
	s += ": " + f.Message
	if f.Advice != "" {
		s += "; " + f.Advice
	}
	if f.Severity != SeverityError {
		s += " [" + f.Rule + "]"
	}
	return s
}

// Lint looks for what is refused and for what is allowed and probably a mistake. The document is taken for the whole catalogue;
// a partial one adds to a catalogue that is not looked at, so that what it names may exist, and what nothing in it uses may be used.
// now decides nothing but where billing would change.
func Lint(name string, data []byte, partial bool, now int64) *Findings {
	l := &linter{partial: partial}
	doc, err := ParseDocument(name, data)
	return l.lint(doc, err, now)
}

// LintPrices looks at a price list as Lint does at a document that adds to a catalogue.
func LintPrices(name string, sheet *Sheet, now int64) *Findings {
	doc, err := ParsePrices(name, sheet)
	return (&linter{partial: true}).lint(doc, err, now)
}

func (l *linter) lint(doc *Document, err error, now int64) *Findings {
	if err == nil {
		err = doc.fillGranted()
	}
	if err == nil {
		l.d = doc
		_, err = doc.revise(Stored{}, now, l.partial)
	}
	var issues *Issues
	if errors.As(err, &issues) {
		for _, i := range issues.List {
			l.add(Finding{Severity: SeverityError, Rule: "refused", Line: i.Line, Path: i.Path, Message: i.Message})
		}
		l.more += issues.More
	} else if err != nil {
		l.add(Finding{Severity: SeverityError, Rule: "refused", Message: err.Error()})
	}
	if l.d != nil {
		l.index()
		l.d.eachRate(l.prices)
		if err == nil { // what stands in the document is resolved
			l.book()
		}
	}
	slices.SortStableFunc(l.found, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	return &Findings{l.found, l.more}
}

// linter looks at a revised document.
type linter struct {
	d       *Document
	partial bool
	found   []Finding
	more    int

	products  map[string]*productDef
	packages  map[string]*packageDef
	accounts  map[string]*accountDef
	contracts map[string][]*contractDef // by account
	naming    map[string][]*contractDef // by rate class
}

func (l *linter) add(f Finding) {
	if len(l.found) >= maxFindings {
		l.more++
		return
	}
	l.found = append(l.found, f)
}

// warn and note take what is odd; say adds what to do.
func (l *linter) warn(rule string, at *place, advice, format string, args ...any) {
	l.add(Finding{SeverityWarning, rule, at.lineNumber(), at.shown(), fmt.Sprintf(format, args...), advice})
}

func (l *linter) note(rule string, at *place, advice, format string, args ...any) {
	l.add(Finding{SeverityNote, rule, at.lineNumber(), at.shown(), fmt.Sprintf(format, args...), advice})
}

func (l *linter) index() {
	l.products, l.packages = map[string]*productDef{}, map[string]*packageDef{}
	l.accounts = map[string]*accountDef{}
	l.contracts, l.naming = map[string][]*contractDef{}, map[string][]*contractDef{}
	for _, p := range l.d.products {
		l.products[p.ID] = p
	}
	for _, k := range l.d.packages {
		l.packages[k.ID] = k
	}
	for _, a := range l.d.accounts {
		l.accounts[a.ID] = a
	}
	for _, c := range l.d.contract {
		l.contracts[c.Account] = append(l.contracts[c.Account], c)
		if c.RateClass != "" {
			l.naming[c.RateClass] = append(l.naming[c.RateClass], c)
		}
	}
}

// book looks at definitions together.
func (l *linter) book() {
	l.periods()
	l.shadows()
	l.lookalikes()
	l.ends()
	l.capacities()
	for _, c := range l.d.contract {
		if len(c.Rates) == 0 && c.RateClass == "" {
			l.warn("contract-empty", &c.at, "give it rates or a rate_class, or leave it out", "the contract %s has no prices: neither rates nor a rate class", c.ID)
		}
	}
	for _, k := range l.d.packages {
		if len(k.Products) == 0 {
			l.warn("package-empty", &k.at, "list its products", "the package %s holds no product", k.ID)
		}
	}
	for _, c := range l.d.classes {
		if len(c.Rates) == 0 {
			l.warn("class-empty", &c.at, "give it rates", "the rate class %s has no rates", c.ID)
		}
	}
	if !l.partial {
		l.unused()
		l.pools()
		if len(l.d.exchange) == 0 { // with exchange rates a price holds in other currencies too
			l.currencies()
		}
		l.unprovisioned()
	}
}

// unused finds what nothing in the whole catalogue reaches.
func (l *linter) unused() {
	for _, c := range l.d.classes {
		if len(l.naming[c.ID]) == 0 {
			l.warn("class-unreachable", &c.at, "name it as rate_class in a contract, or delete it", "no contract names the rate class %s: its rates never apply", c.ID)
		}
	}
	provisioned := map[string]bool{}
	for _, a := range l.d.accounts {
		for _, p := range a.Packages {
			provisioned[p.Package] = true
		}
	}
	for _, k := range l.d.packages {
		if !provisioned[k.ID] {
			l.warn("package-unused", &k.at, "provision it under packages of an account, or delete it",
				"no account has the package %s: it prices only events that name it", k.ID)
		}
	}
}

// currencies finds products that have no default rate in the currency of some account, and rates in a currency that nobody has.
func (l *linter) currencies() {
	accounts := map[string][]string{} // by currency
	for _, a := range l.d.accounts {
		accounts[a.Currency] = append(accounts[a.Currency], a.ID)
	}
	if len(accounts) == 0 {
		return
	}
	for _, p := range l.d.products {
		has := map[string]bool{}
		for _, r := range p.Rates {
			has[r.Currency] = true
			if len(accounts[r.Currency]) == 0 {
				l.note("currency-unused", &r.at, "leave it out until an account has the currency", "no account is in %s: this rate never applies", r.Currency)
			}
		}
		for _, currency := range slices.Sorted(maps.Keys(accounts)) {
			if !has[currency] {
				l.warn("currency-missing", p.at.member("rates"), "add a rate in "+currency,
					"no default rate in %s, the currency of %s: usage without another rate is rejected (no_rate)", currency, few(accounts[currency]))
			}
		}
	}
}

// few names the first of many.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s, … (%d more)", strings.Join(names[:most], ", "), len(names)-most)
}

// stretch is a period in which something is in effect.
type stretch struct{ start, end int64 }

func (s stretch) clip(other stretch) stretch {
	return stretch{max(s.start, other.start), min(s.end, other.end)}
}
func (s stretch) empty() bool { return s.start >= s.end }

// covered says whether the others leave nothing of the stretch.
func (s stretch) covered(others []stretch) bool {
	slices.SortFunc(others, func(a, b stretch) int { return cmp.Compare(a.start, b.start) })
	at := s.start
	for _, o := range others {
		if o.start > at {
			break
		}
		if at = max(at, o.end); at >= s.end {
			return true
		}
	}
	return s.empty()
}

func (d *rateDef) stretch() stretch      { return stretch{d.Start.startAt(), d.End.endAt()} }
func (p *provisionDef) stretch() stretch { return stretch{p.Start.startAt(), p.End.endAt()} }
func (c *contractDef) stretch() stretch  { return stretch{c.Start.startAt(), c.End.endAt()} }

// periods finds time that no rate of a list covers although rates before and after it are there.
func (l *linter) periods() {
	for _, p := range l.d.products {
		l.gaps(p.Rates, p.ID, time.UTC, "usage then is rejected (no_rate) unless a contract or package prices it", true)
	}
	const next = "the next level of the hierarchy prices usage then"
	for _, c := range l.d.classes {
		l.gapsByProduct(c.Rates, time.UTC, next)
	}
	for _, k := range l.d.packages {
		for _, p := range k.Products {
			l.gaps(p.Rates, p.Product, time.UTC, next, false)
		}
	}
	for _, a := range l.d.accounts {
		zone := zoneOf(a)
		for _, p := range a.Products {
			l.gaps(p.Rates, p.Product, zone, next, false)
		}
		for _, p := range a.Packages {
			l.gapsByProduct(p.Rates, zone, next)
		}
		l.contractGaps(l.contracts[a.ID], zone)
	}
	for _, c := range l.d.contract {
		l.gapsByProduct(c.Rates, zoneOf(l.accounts[c.Account]), next)
	}
}

func zoneOf(a *accountDef) *time.Location {
	if a != nil {
		if zone, err := loadZone(a.TimeZone); err == nil {
			return zone
		}
	}
	return time.UTC
}

func (l *linter) gapsByProduct(rates []*rateDef, zone *time.Location, then string) {
	by := map[string][]*rateDef{}
	for _, r := range rates {
		by[r.Product+"\x00"+r.Package] = append(by[r.Product+"\x00"+r.Package], r)
	}
	for _, key := range slices.Sorted(maps.Keys(by)) {
		l.gaps(by[key], by[key][0].Product, zone, then, false)
	}
}

func (l *linter) gaps(rates []*rateDef, product string, zone *time.Location, then string, last bool) {
	by := map[string][]*rateDef{}
	for _, r := range rates {
		by[r.Currency] = append(by[r.Currency], r)
	}
	for _, currency := range slices.Sorted(maps.Keys(by)) {
		list := slices.Clone(by[currency])
		slices.SortStableFunc(list, func(a, b *rateDef) int { return cmp.Compare(a.Start.startAt(), b.Start.startAt()) })
		for i := 1; i < len(list); i++ {
			end, start := list[i-1].End, list[i].Start
			if end.endAt() < start.startAt() {
				l.warn("rate-gap", list[i].at.member("start"), "let one begin where the other ends: an end is the first moment without the rate",
					"no rate for %s from %s to %s, between this one and that of line %d: %s", product, end.in(zone), start.in(zone), list[i-1].at.line, then)
			}
		}
		if end := list[len(list)-1].End; last && !end.IsZero() {
			l.note("rate-ends", list[len(list)-1].at.member("end"), "write the rate that follows, or leave end out",
				"nothing follows this rate when it ends (%s): %s", end.in(zone), then)
		}
	}
}

// contractGaps finds a contract that follows another a day late.
func (l *linter) contractGaps(contracts []*contractDef, zone *time.Location) {
	list := slices.Clone(contracts)
	slices.SortStableFunc(list, func(a, b *contractDef) int { return cmp.Compare(a.Start.startAt(), b.Start.startAt()) })
	for i := 1; i < len(list); i++ {
		end, start := list[i-1].End.endAt(), list[i].Start.startAt()
		if end < start && start-end <= int64(25*time.Hour) {
			l.warn("contract-gap", list[i].at.member("start"), "write "+list[i].Start.in(zone)+" as the end of "+list[i-1].ID+": an end is the first moment without it",
				"the contract %s ends at %s and this one starts at %s: no contract in between", list[i-1].ID, list[i-1].End.in(zone), list[i].Start.in(zone))
		}
	}
}

// ends finds periods that end where the last day of a month begins.
func (l *linter) ends() {
	look := func(at *place, end Bound, zone *time.Location) {
		if end.in(zone) == end.String() { // open, or no local midnight
			return
		}
		day := time.Unix(0, end.at).In(zone)
		if next := time.Date(day.Year(), day.Month(), day.Day()+1, 12, 0, 0, 0, zone); next.Day() == 1 {
			l.warn("end-of-month", at.member("end"), "write "+next.Format(time.DateOnly)+" where the last day is to be covered",
				"ends where %s begins, so the last day of the month is not covered", day.Format(time.DateOnly))
		}
	}
	rates := func(list []*rateDef, zone *time.Location) {
		for _, r := range list {
			look(&r.at, r.End, zone)
		}
	}
	for _, p := range l.d.products {
		rates(p.Rates, time.UTC)
	}
	for _, c := range l.d.classes {
		rates(c.Rates, time.UTC)
	}
	for _, k := range l.d.packages {
		for _, p := range k.Products {
			rates(p.Rates, time.UTC)
		}
	}
	for _, a := range l.d.accounts {
		zone := zoneOf(a)
		for _, p := range slices.Concat(a.Products, a.Packages) {
			look(&p.at, p.End, zone)
			rates(p.Rates, zone)
		}
	}
	for _, c := range l.d.contract {
		zone := zoneOf(l.accounts[c.Account])
		look(&c.at, c.End, zone)
		rates(c.Rates, zone)
	}
}

// amountText writes a price with at least the decimals of its currency: 0.10.
func amountText(d money.Decimal, currency string) string {
	places := 0
	if c, ok := money.LookupCurrency(currency); ok {
		places = c.Places
	}
	text := d.String()
	if _, decimals, _ := strings.Cut(text, "."); len(decimals) < places {
		return d.Places(places)
	}
	return text
}
