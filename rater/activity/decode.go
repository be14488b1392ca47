package activity

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/tollstream/tollstream/ledger/money"
)

// Header is what the order of the topic is judged by.
type Header struct {
	Offset   int64
	Previous int64
	Version  uint32
	LogTime  int64
}

// DecodeHeader reads a record's header without its activities.
func DecodeHeader(b []byte) (Header, error) {
	d := decoder{b: b}
	h := d.header()
	if d.bad {
		return Header{}, fmt.Errorf("decode header of rated record: %w", ErrMalformed)
	}
	return h, nil
}

// Decode reads what Append wrote. The slices of r are used again; what its activities point at is not: their strings stand in
// one copy of b that lives as long as any of them, their terms, targets and attributes in one slice each.
func Decode(b []byte, r *Record) error {
	*r = Record{Activities: r.Activities[:0], Rejected: r.Rejected[:0]}
	d := decoder{b: b}
	h := d.header()
	r.Offset, r.Previous, r.Version, r.LogTime = h.Offset, h.Previous, h.Version, h.LogTime
	r.Duplicates = d.count(math.MaxInt32)
	activities, rejected := d.count(min(MaxActivities, len(b)/minActivity)), d.count(min(MaxActivities, len(b)/minRejected))
	terms, targets, texts := d.count(activities), d.count(activities), d.count(min(maxTexts, len(b)))
	attributes, extras := d.count(len(b)), 0
	if !d.plain {
		extras = d.count(activities)
	}
	if d.bad {
		return fmt.Errorf("decode rated record: %w", ErrMalformed)
	}
	d.text = string(b)
	d.terms, d.targets = make([]Terms, 0, terms), make([]Target, 0, targets)
	d.texts, d.attributes = make([]string, 0, texts), make([]Attribute, 0, attributes)
	if extras > 0 {
		d.extras = make([]Extra, 0, extras)
	}
	if cap(r.Activities) < activities {
		r.Activities = make([]Activity, 0, activities)
	}
	before := &Activity{EventTime: r.LogTime}
	for i := range activities {
		r.Activities = append(r.Activities, Activity{Index: i})
		d.activity(&r.Activities[i], before)
		if d.bad {
			break
		}
		before = &r.Activities[i]
	}
	for range rejected {
		r.Rejected = append(r.Rejected, d.rejected(r.LogTime))
		if d.bad {
			break
		}
	}
	if d.bad || d.at != len(b) || len(d.terms) != terms || len(d.targets) != targets || len(d.texts) != texts || len(d.attributes) != attributes || len(d.extras) != extras {
		return fmt.Errorf("decode rated record: %w", ErrMalformed)
	}
	return nil
}

// The fewest bytes that an activity and a rejected event take bound what a count may promise.
const (
	minActivity = 8
	minRejected = 6
)

// decoder takes values off b from at on; after the first failure bad is set, and whatever follows means nothing.
type decoder struct {
	b    []byte
	text string // the same: strings are parts of it
	at   int
	bad  bool

	plain      bool // the first format
	extraFlags byte // that the format knows

	// what has stood in the record; the capacity is what the record says that there will be
	terms      []Terms
	targets    []Target
	texts      []string
	attributes []Attribute
	extras     []Extra
	exchanges  []Exchange // of extras
}

func (d *decoder) header() Header {
	switch f := d.byte(); {
	case f == formatPlain:
		d.plain = true
	case f > formatPlain && f <= format:
		d.extraFlags = extrasKnown[f]
	default:
		d.bad = true
		return Header{}
	}
	h := Header{Offset: int64(d.uvarint())}
	h.Previous = h.Offset - d.varint()
	version := d.uvarint()
	d.bad = d.bad || version > math.MaxUint32
	h.Version = uint32(version)
	h.LogTime = int64(d.fixed64())
	return h
}

func (d *decoder) activity(a, before *Activity) {
	flags := d.byte()
	a.Kind = Kind(flags & flagKind)
	if flags > flagsKnown || d.plain && flags&flagExtra != 0 || a.Kind != KindUsage && a.Kind != KindAdjustment {
		d.bad = true
		return
	}
	if flags&flagNewTarget == 0 {
		a.Target = item(d, d.targets, d.uvarint())
	}
	number := d.uvarint()
	if number > 0 {
		a.Terms = item(d, d.terms, number-1)
	}
	a.EventID = d.bytes(d.uvarint())
	if a.Source = before.Source; flags&flagSameSource == 0 {
		a.Source = d.string()
	}
	if flags&flagNewTarget != 0 {
		a.Target = grow(d, &d.targets)
		d.newTarget(a.Target)
	}
	if number == 0 {
		a.Terms = grow(d, &d.terms)
		d.newTerms(a.Terms, a.Account)
	}
	if flags&flagNewTarget != 0 && a.Plain {
		a.Invoice, a.Line = a.derived(a.Terms)
	}
	a.EventTime = before.EventTime + d.span()
	names := before.Attributes
	size := uint64(len(names))
	if flags&flagSameNames == 0 {
		size, names = d.uvarint(), nil
	}
	if a.Attributes = d.list(size); a.Attributes != nil {
		d.fill(a.Attributes, names)
	}
	a.Quantity, a.Charge, a.LineAmount = d.decimal(), d.decimal(), d.decimal()
	if flags&flagExtra != 0 {
		a.Extra = grow(d, &d.extras)
		d.extra(a.Extra)
	}
}

func (d *decoder) extra(x *Extra) {
	flags := d.byte()
	if flags > d.extraFlags {
		d.bad = true
		return
	}
	if flags&extraPackage != 0 {
		x.EventPackage = d.string()
	}
	if flags&extraAmount != 0 {
		x.Amount, x.HasAmount, x.AmountCurrency = d.decimal(), true, d.string()
	}
	if flags&extraExchange != 0 {
		d.extraExchange(x)
	}
	if flags&extraCorrects != 0 {
		x.Corrects.Source, x.Corrects.ID = d.string(), d.bytes(d.uvarint())
	}
	if flags&extraBelow != 0 {
		x.CorrectsBelow = int64(d.uvarint())
	}
}

func (d *decoder) extraExchange(x *Extra) {
	switch back := int(d.byte()); {
	case back > min(nearExchanges, len(d.exchanges)):
		d.bad = true
	case back > 0:
		x.AmountExchange = d.exchanges[len(d.exchanges)-back]
	default:
		x.AmountExchange = d.exchange()
		d.exchanges = append(d.exchanges, x.AmountExchange)
	}
}

func (d *decoder) exchange() Exchange {
	rate, date := d.decimal(), d.varint()
	if rate.IsZero() || date != int64(money.Date(date)) { //nolint:gosec // compared
		d.bad = true
		return Exchange{}
	}
	return Exchange{Rate: rate, Date: money.Date(date)} //nolint:gosec // compared
}

// fill reads the names, unless they are those of the activity before, and the values.
func (d *decoder) fill(list, names []Attribute) {
	for i := range list {
		if names != nil {
			list[i].Name = names[i].Name
		} else {
			list[i].Name = d.string()
		}
	}
	for i := range list {
		list[i].Value = d.string()
	}
}

func (d *decoder) newTarget(t *Target) {
	head := d.uvarint()
	t.Plain = head&targetPlain != 0
	t.Account = d.bytes(d.uvarint())
	if t.Billed = t.Account; head&targetBilledIsAccount == 0 {
		t.Billed = d.string()
	}
	t.Group = d.list(head >> targetFlags)
	for i := range t.Group {
		t.Group[i] = Attribute{Name: d.string(), Value: d.string()}
	}
	if !t.Plain {
		copy(t.Invoice[:], d.take(uint64(len(t.Invoice))))
		copy(t.Line[:], d.take(uint64(len(t.Line))))
	}
}

func (d *decoder) newTerms(t *Terms, account string) {
	t.Seller, t.Product, t.Package, t.Currency, t.Level = d.string(), d.string(), d.string(), d.string(), d.string()
	switch d.byte() {
	case 0:
		t.RateAccount = d.string()
	case 1:
		t.RateAccount = account
	default:
		d.bad = true
	}
	t.RateID, t.RateSeq, t.RateModel, t.ActivatedSeq = d.string(), d.varint(), d.string(), d.varint()
	t.PeriodStart = d.span()
	t.PeriodEnd = t.PeriodStart + d.span()
	t.UsageStart = t.PeriodStart + d.span()
	t.UsageEnd = t.PeriodEnd + d.span()
	if d.plain {
		return
	}
	if t.RateCurrency = d.string(); t.RateCurrency != "" {
		t.RateExchange = d.exchange()
	}
}

func (d *decoder) rejected(logTime int64) Rejected {
	r := Rejected{EventIndex: d.count(math.MaxInt32), Reason: d.string(), EventID: d.bytes(d.uvarint()), Source: d.string()}
	r.EventTime = logTime + d.span()
	r.Account = d.string()
	return r
}

// item gives the item of that number. After a failure it is one that nobody looks at.
func item[T any](d *decoder, list []T, number uint64) *T {
	if number >= uint64(len(list)) {
		d.bad = true
		return new(T)
	}
	return &list[number]
}

// grow adds an item, never past what the record said, so that the items before it stay where they are.
func grow[T any](d *decoder, list *[]T) *T {
	n := len(*list)
	if n == cap(*list) {
		d.bad = true
		return new(T)
	}
	*list = (*list)[:n+1]
	return &(*list)[n]
}

// list gives so many attributes to fill in, nil for none.
func (d *decoder) list(size uint64) []Attribute {
	n := len(d.attributes)
	if size > uint64(cap(d.attributes)-n) {
		d.bad = true
	}
	if d.bad || size == 0 {
		return nil
	}
	to := n + int(size)
	d.attributes = d.attributes[:to]
	return d.attributes[n:to:to]
}

// take gives the next n bytes, nil after a failure.
func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)-d.at) {
		d.bad = true
		return nil
	}
	d.at += int(n)
	return d.b[d.at-int(n) : d.at]
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) fixed64() uint64 {
	if v := d.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	if !d.bad && d.at < len(d.b) && d.b[d.at] < 0x80 {
		d.at++
		return uint64(d.b[d.at-1])
	}
	return d.longUvarint()
}

func (d *decoder) longUvarint() uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.at:])
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.at += n
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count reads how many there are, at most so many.
func (d *decoder) count(most int) int {
	v := d.uvarint()
	if v > uint64(most) {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *decoder) span() int64 {
	v := d.uvarint()
	switch unit := v & spanUnit; {
	case v == spanFull:
		return int64(d.fixed64())
	case unit < uint64(len(spanUnits)):
		v >>= 3
		return (int64(v>>1) ^ -int64(v&1)) * spanUnits[unit]
	}
	d.bad = true
	return 0
}

// bytes reads a text of its own.
func (d *decoder) bytes(n uint64) string {
	if d.bad || n > uint64(len(d.b)-d.at) {
		d.bad = true
		return ""
	}
	d.at += int(n)
	return d.text[d.at-int(n) : d.at]
}

// string reads a text that may stand in the table.
func (d *decoder) string() string {
	v := d.uvarint()
	if v&1 == 0 {
		return *item(d, d.texts, v>>1)
	}
	s := d.bytes(v >> 1)
	if n := len(s); n > 0 && n <= maxTextBytes && len(d.texts) < maxTexts {
		*grow(d, &d.texts) = s
	}
	return s
}

func (d *decoder) decimal() money.Decimal {
	if d.bad {
		return money.Decimal{}
	}
	v, n, err := money.FromCompact(d.b[d.at:])
	if err != nil {
		d.bad = true
		return money.Decimal{}
	}
	d.at += n
	return v
}
