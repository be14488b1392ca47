package activity

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"
)

// The wire format says once in a record what its activities have in common: terms, targets and short texts are written
// where they are first used and numbered from 0, later uses name the number. Numbers are varints, signed
// ones in zigzag; decimals in money's compact form; instants as spans, see appendSpan. The parts stand in this order:
//
//	record    format (1 byte), offset, offset − previous (signed), version, log time (8 bytes, little endian),
//	          duplicates; how many activities, rejected, terms, targets, tabled texts, attributes of both kinds, extras;
//	          activities, rejected
//	activity  flags (1 byte: bits 0–1 kind, 2 source as in the activity before, 3 attribute names as there, 4 new target, 5 extra);
//	          number of the target unless new; number of the terms + 1, 0 for new ones; event id (length, bytes);
//	          source (text) unless as before; new target; new terms; event time (span from the activity before, the first
//	          from log time); how many attributes and their names (texts) unless as before; their values (texts);
//	          quantity, charge, line amount; the extra
//	extra     flags (1 byte: bit 0 package, 1 amount, 2 exchange, 3 corrects, 4 corrects below); the package that the event named (text); the amount and its
//	          currency (text); the exchange: 0 and a new one, or how many new ones of extras back it stands (1 to 8): rate, date (days
//	          since 1970-01-01, signed); the source (text) and id (length, bytes) of the event that is corrected; the offset below
//	          which it was left out
//	target    flags (2·size of the group·2 + bit 1 plain + bit 0 billed as account); account (length, bytes);
//	          billed (text) unless the account; group: name and value (texts); unless plain invoice and line (16 bytes)
//	terms     seller, product, package, currency, level (texts); the rate's account: 1 for the target's, otherwise 0 and a text;
//	          rate id (text), rate seq (signed), rate model (text), activated seq (signed); spans: period start from
//	          the epoch, period end from it, usage start from period start, usage end from period end; the rate's currency
//	          (text) if it is another than the line's, otherwise ""; unless "" the exchange's rate and date
//	rejected  event index, reason (text), event id (length, bytes), source (text), event time (span from log time),
//	          account (text)
//	text      2·number of a tabled text, or 2·length + 1 and the bytes, which are tabled if they are 1 to 63 and the table
//	          holds fewer than 256
//
// A format that means more gets a new first byte. Those before are still read: in 3 no extra corrects below, in 2 none corrects, and 1 has no extras, neither the
// number of them nor what stands behind the spans of terms.
const (
	format      = 4
	formatPlain = 1
)

// extrasKnown are the flags of extras that a format has.
var extrasKnown = [...]byte{2: extraCorrects - 1, 3: extraBelow - 1, format: extraBelow<<1 - 1}

const (
	flagKind       = 3
	flagSameSource = 1 << 2
	flagSameNames  = 1 << 3
	flagNewTarget  = 1 << 4
	flagExtra      = 1 << 5
	flagsKnown     = 1<<6 - 1

	extraPackage  = 1 << 0
	extraAmount   = 1 << 1
	extraExchange = 1 << 2
	extraCorrects = 1 << 3
	extraBelow    = 1 << 4

	targetBilledIsAccount = 1
	targetPlain           = 2
	targetFlags           = 2 // bits
)

// MaxActivities bounds the activities, and apart from them the rejected events, of one record: 256 events or lines
// give at most a usage and a few adjustments each.
const MaxActivities = 4096

const (
	maxTexts     = 256 // in the table
	maxTextBytes = 63  // of a tabled one, so that its length takes a byte
)

// ErrMalformed says that bytes are not an encoded record.
var ErrMalformed = errors.New("malformed rated record")

// Append appends the encoded record. The same record gives the same bytes. Who writes many keeps an Encoder.
func Append(b []byte, r *Record) []byte { return new(Encoder).Append(b, r) }

// Encoder writes records; what it needs for one is used again for the next. The zero value is ready.
type Encoder struct {
	body       []byte
	attributes int
	extras     int
	exchanges  []Exchange // of extras

	// What stands in the record by now. A table holds number + 1 at the place of the content's hash or behind it.
	texts       []string
	textTable   [2 * maxTexts]uint16
	terms       []*Terms
	termsTable  []uint16
	targets     []*Target
	targetTable []uint16
}

// Append appends the encoded record to b. Index is not written: it is the activity's place. The same content gives the same bytes,
// however it is shared in memory.
func (e *Encoder) Append(b []byte, r *Record) []byte {
	e.begin(len(r.Activities))
	before := &Activity{EventTime: r.LogTime}
	for i := range r.Activities {
		e.activity(&r.Activities[i], before)
		before = &r.Activities[i]
	}
	for i := range r.Rejected {
		e.rejected(&r.Rejected[i], r.LogTime)
	}
	b = slices.Grow(b, len(e.body)+64)
	b = append(b, format)
	b = binary.AppendUvarint(b, uint64(r.Offset))
	b = binary.AppendVarint(b, r.Offset-r.Previous)
	b = binary.AppendUvarint(b, uint64(r.Version))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.LogTime))
	for _, n := range [...]int{
		r.Duplicates, len(r.Activities), len(r.Rejected), len(e.terms), len(e.targets), len(e.texts), e.attributes, e.extras,
	} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = append(b, e.body...)
	e.forget()
	return b
}

func (e *Encoder) begin(activities int) {
	e.body, e.attributes, e.extras, e.exchanges = e.body[:0], 0, 0, e.exchanges[:0]
	clear(e.textTable[:])
	size := 2 << bits.Len(uint(activities))
	if len(e.targetTable) < size {
		e.targetTable, e.termsTable = make([]uint16, size), make([]uint16, size)
	}
	clear(e.targetTable)
	clear(e.termsTable)
}

// forget lets go of what the record pointed at.
func (e *Encoder) forget() {
	clear(e.texts)
	clear(e.terms)
	clear(e.targets)
	e.texts, e.terms, e.targets = e.texts[:0], e.terms[:0], e.targets[:0]
}

func (e *Encoder) activity(a, before *Activity) {
	flagsAt := len(e.body)
	flags := byte(a.Kind) & flagKind
	e.body = append(e.body, 0)
	target, known := e.target(a.Target, before.Target)
	if known {
		e.body = binary.AppendUvarint(e.body, uint64(target))
	} else {
		flags |= flagNewTarget
	}
	terms, termsKnown := e.termsOf(a.Terms)
	if termsKnown {
		e.body = binary.AppendUvarint(e.body, uint64(terms+1))
	} else {
		e.body = append(e.body, 0)
	}
	e.bytes(a.EventID)
	if a.Source == before.Source {
		flags |= flagSameSource
	} else {
		e.text(a.Source)
	}
	if !known {
		e.newTarget(a.Target)
	}
	if !termsKnown {
		e.newTerms(a.Terms, a.Account)
	}
	e.body = appendSpan(e.body, a.EventTime-before.EventTime)
	if sameNames(a.Attributes, before.Attributes) {
		flags |= flagSameNames
	} else {
		e.body = binary.AppendUvarint(e.body, uint64(len(a.Attributes)))
		for i := range a.Attributes {
			e.text(a.Attributes[i].Name)
		}
	}
	for i := range a.Attributes {
		e.text(a.Attributes[i].Value)
	}
	e.attributes += len(a.Attributes)
	e.body = a.Quantity.AppendCompact(e.body)
	e.body = a.Charge.AppendCompact(e.body)
	e.body = a.LineAmount.AppendCompact(e.body)
	if a.Extra != nil {
		flags |= flagExtra
		e.extra(a.Extra)
	}
	e.body[flagsAt] = flags
}

func (e *Encoder) extra(x *Extra) {
	e.extras++
	flags := byte(0)
	if x.EventPackage != "" {
		flags |= extraPackage
	}
	if x.HasAmount {
		flags |= extraAmount
	}
	if x.AmountExchange.Used() {
		flags |= extraExchange
	}
	corrects := x.Corrects != EventName{}
	if corrects {
		flags |= extraCorrects
	}
	if x.CorrectsBelow != 0 {
		flags |= extraBelow
	}
	e.body = append(e.body, flags)
	if x.EventPackage != "" {
		e.text(x.EventPackage)
	}
	if x.HasAmount {
		e.body = x.Amount.AppendCompact(e.body)
		e.text(x.AmountCurrency)
	}
	if x.AmountExchange.Used() {
		e.extraExchange(x.AmountExchange)
	}
	if corrects {
		e.text(x.Corrects.Source)
		e.bytes(x.Corrects.ID)
	}
	if x.CorrectsBelow != 0 {
		e.body = binary.AppendUvarint(e.body, uint64(x.CorrectsBelow))
	}
}

// nearExchanges is how many of the last exchanges of extras are looked at: a record has one a currency and day.
const nearExchanges = 8

func (e *Encoder) extraExchange(x Exchange) {
	for back := 1; back <= min(nearExchanges, len(e.exchanges)); back++ {
		if e.exchanges[len(e.exchanges)-back] == x {
			e.body = append(e.body, byte(back))
			return
		}
	}
	e.exchanges = append(e.exchanges, x)
	e.body = append(e.body, 0)
	e.exchange(x)
}

func (e *Encoder) exchange(x Exchange) {
	e.body = x.Rate.AppendCompact(e.body)
	e.body = binary.AppendVarint(e.body, int64(x.Date))
}

func sameNames(a, b []Attribute) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

func (e *Encoder) newTarget(t *Target) {
	head := uint64(len(t.Group)) << targetFlags
	if t.Billed == t.Account {
		head |= targetBilledIsAccount
	}
	if t.Plain {
		head |= targetPlain
	}
	e.body = binary.AppendUvarint(e.body, head)
	e.bytes(t.Account)
	if t.Billed != t.Account {
		e.text(t.Billed)
	}
	for i := range t.Group {
		e.text(t.Group[i].Name)
		e.text(t.Group[i].Value)
	}
	e.attributes += len(t.Group)
	if !t.Plain {
		e.body = append(e.body, t.Invoice[:]...)
		e.body = append(e.body, t.Line[:]...)
	}
}

func (e *Encoder) newTerms(t *Terms, account string) {
	e.text(t.Seller)
	e.text(t.Product)
	e.text(t.Package)
	e.text(t.Currency)
	e.text(t.Level)
	if t.RateAccount == account {
		e.body = append(e.body, 1)
	} else {
		e.body = append(e.body, 0)
		e.text(t.RateAccount)
	}
	e.text(t.RateID)
	e.body = binary.AppendVarint(e.body, t.RateSeq)
	e.text(t.RateModel)
	e.body = binary.AppendVarint(e.body, t.ActivatedSeq)
	e.body = appendSpan(e.body, t.PeriodStart)
	e.body = appendSpan(e.body, t.PeriodEnd-t.PeriodStart)
	e.body = appendSpan(e.body, t.UsageStart-t.PeriodStart)
	e.body = appendSpan(e.body, t.UsageEnd-t.PeriodEnd)
	e.text(t.RateCurrency)
	if t.RateCurrency != "" {
		e.exchange(t.RateExchange)
	}
}

func (e *Encoder) rejected(r *Rejected, logTime int64) {
	e.body = binary.AppendUvarint(e.body, uint64(r.EventIndex))
	e.text(r.Reason)
	e.bytes(r.EventID)
	e.text(r.Source)
	e.body = appendSpan(e.body, r.EventTime-logTime)
	e.text(r.Account)
}

// bytes writes a text that will hardly come again.
func (e *Encoder) bytes(s string) {
	e.body = append(binary.AppendUvarint(e.body, uint64(len(s))), s...)
}

func (e *Encoder) text(s string) {
	if n := len(s); n == 0 || n > maxTextBytes {
		e.body = append(binary.AppendUvarint(e.body, uint64(n)<<1|1), s...)
		return
	}
	at := xxh3.HashString(s) % uint64(len(e.textTable))
	for ; e.textTable[at] != 0; at = (at + 1) % uint64(len(e.textTable)) {
		if number := e.textTable[at] - 1; e.texts[number] == s {
			e.body = binary.AppendUvarint(e.body, uint64(number)<<1)
			return
		}
	}
	if len(e.texts) < maxTexts {
		e.texts = append(e.texts, s)
		e.textTable[at] = uint16(len(e.texts))
	}
	e.body = append(append(e.body, byte(len(s)<<1|1)), s...)
}

// target finds the number of an equal target; when there is none it takes the next, known false.
func (e *Encoder) target(t, before *Target) (number int, known bool) {
	if n := len(e.targets); t == before && n > 0 && e.targets[n-1] == t {
		return n - 1, true
	}
	mask := uint64(len(e.targetTable) - 1)
	at := binary.LittleEndian.Uint64(t.Line[:]) & mask
	for ; e.targetTable[at] != 0; at = (at + 1) & mask {
		number := int(e.targetTable[at] - 1)
		if known := e.targets[number]; known == t || sameTarget(known, t) {
			return number, true
		}
	}
	e.targets = append(e.targets, t)
	e.targetTable[at] = uint16(len(e.targets))
	return len(e.targets) - 1, false
}

func sameTarget(a, b *Target) bool {
	return a.Line == b.Line && a.Invoice == b.Invoice && a.Plain == b.Plain && a.Account == b.Account && a.Billed == b.Billed &&
		slices.Equal(a.Group, b.Group)
}

// nearTerms is how many of the last terms are looked at before a hash is made: mostly a record has a few.
const nearTerms = 8

// termsOf is target for terms.
func (e *Encoder) termsOf(t *Terms) (number int, known bool) {
	for i := len(e.terms) - 1; i >= max(0, len(e.terms)-nearTerms); i-- {
		if e.terms[i] == t {
			return i, true
		}
	}
	hash := xxh3.HashString(t.RateID) ^ xxh3.HashString(t.RateAccount) ^ uint64(t.PeriodStart) ^ uint64(t.RateSeq) ^ uint64(t.ActivatedSeq)
	mask := uint64(len(e.termsTable) - 1)
	at := (hash ^ hash>>32) & mask
	for ; e.termsTable[at] != 0; at = (at + 1) & mask {
		if number := int(e.termsTable[at] - 1); *e.terms[number] == *t {
			return number, true
		}
	}
	e.terms = append(e.terms, t)
	e.termsTable[at] = uint16(len(e.terms))
	return len(e.terms) - 1, false
}

// Spans are nanoseconds, written as a varint of n·8 + u, n in zigzag, in the largest unit that is exact: u 3 for seconds,
// 2 milliseconds, 1 microseconds, 0 nanoseconds; one that does not fit is u 4 and 8 bytes, little endian.
const (
	spanUnit  = 7
	spanFull  = 4
	spanLimit = 1 << 60 // in zigzag
)

var spanUnits = [...]int64{1, 1e3, 1e6, 1e9}

func appendSpan(b []byte, nanoseconds int64) []byte {
	n, unit := nanoseconds, uint64(0)
	if million := n / 1e6; million*1e6 == n {
		n, unit = million, 2
	}
	if thousand := n / 1e3; thousand*1e3 == n {
		n, unit = thousand, unit+1
	}
	zigzag := uint64(n<<1) ^ uint64(n>>63)
	if zigzag >= spanLimit {
		return binary.LittleEndian.AppendUint64(append(b, spanFull), uint64(nanoseconds))
	}
	return binary.AppendUvarint(b, zigzag<<3|unit)
}
