package usage

import (
	"encoding/binary"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of the records by which usage is rated anew.
const (
	MaxSweepFamilies = 256  // line families in one Sweep
	MaxResultLines   = 256  // lines, and corrections, in one Result
	MaxResultParts   = 16   // results that make up one account's
	MaxAnswers       = 64   // corrections that one result answers
	MaxValues        = 8192 // distinct values in one Values
)

// Sweep names line families whose prices the definition Seq has changed and that nothing may have touched since: they are priced
// under the definitions that are active for them.
type Sweep struct {
	Seq      int64
	Families [][16]byte
}

// Marker begins to rate an account anew: what stands before it in the log is summed up by a job, what comes after it is gathered by
// the partition. Attempts number the markers of one definition from 1.
type Marker struct {
	Account string
	Seq     int64 // of the definition because of which it is done
	Attempt int64
}

// Result is a part of what an account's usage before a marker amounts to under the definitions of the marker.
type Result struct {
	Account      string
	Seq, Attempt int64 // of the marker
	At           int64 // its offset
	Part, Parts  int   // from 1
	Lines        []ResultLine
	Corrections  []Correction
	Answers      []Answer
}

// ResultLine is the usage before a marker that belongs on a line. One without events says that what stood there belongs elsewhere.
type ResultLine struct {
	Product  string
	Package  string
	Seller   string
	Currency string
	Owed     string // who was billed for the usage's own period
	Billed   string // whose invoice it is; empty on the wire when it is Owed
	Group    []Attribute
	// Instants: the period of the usage, and that of the invoice.
	UsageStart, UsageEnd   int64
	PeriodStart, PeriodEnd int64
	Quantity               money.Decimal
	Events                 int64
	Segments               []byte // as the rater stores them

	RateLevel, RateAccount, RateID, RateModel string // of the last event
}

// Correction is what a closed invoice would have differed by. It is charged on the current one.
type Correction struct {
	Seller   string
	Owed     string // who was billed for the usage's own period
	Billed   string // who was billed on the closed invoice
	Product  string
	Package  string
	Currency string
	Group    []Attribute
	// Instants: the period of the usage, and that of the closed invoice.
	UsageStart, UsageEnd   int64
	PeriodStart, PeriodEnd int64
	Amount                 money.Decimal
}

// Values are distinct values that were counted in an account's usage before a marker. They stand before the marker's result, which
// counts only when all of them are read.
type Values struct {
	Account      string
	Seq, Attempt int64 // of the marker
	At           int64 // its offset
	Family       [16]byte
	Set          [16]byte
	Values       []Value
}

// Value is a distinct value, by its hash, and the places in which it was counted.
type Value struct {
	Hash   [16]byte
	Places uint64
}

// Answer says what became of a usage event that corrects another and has waited for its line to be rated again.
type Answer struct {
	Offset int64 // where it was taken for waiting
	Index  int
	Event  Event
	Reason string // why it cannot be done; empty: the event that it names is left out
	// The line on which that was, with its quantity and how often it was there.
	Line ResultLine
}

const (
	sweepSeq      = 1
	sweepFamilies = 2

	markerAccount = 1
	markerSeq     = 2
	markerAttempt = 3

	resultAccount     = 1
	resultSeq         = 2
	resultAttempt     = 3
	resultAt          = 4
	resultPart        = 5
	resultParts       = 6
	resultLines       = 7
	resultCorrections = 8
	resultAnswers     = 9

	valuesAccount = 1
	valuesSeq     = 2
	valuesAttempt = 3
	valuesAt      = 4
	valuesFamily  = 5
	valuesSet     = 6
	valuesValues  = 7

	answerOffset = 1
	answerIndex  = 2
	answerEvent  = 3
	answerReason = 4
	answerLine   = 5

	lineProduct     = 1
	linePackage     = 2
	lineSeller      = 3
	lineCurrency    = 4
	lineOwed        = 5
	lineBilled      = 6
	lineGroup       = 7
	lineUsageStart  = 8
	lineUsageEnd    = 9
	linePeriodStart = 10
	linePeriodEnd   = 11
	lineQuantity    = 12
	lineEvents      = 13
	lineSegments    = 14
	lineRate        = 15

	rateLevel   = 1
	rateAccount = 2
	rateID      = 3
	rateModel   = 4
)

const (
	sweepTypes  = "-vs"
	markerTypes = "-svv"
	resultTypes = "-svvvvvsss"
	valuesTypes = "-svvvsss"
	answerTypes = "-vvsss"
	lineTypes   = "-sssssssffffsvss"
	rateTypes   = "-ssss"
	groupTypes  = "-ss"
)

// appendMessage appends a nested message, which is made in memory of its own: control records are rare.
func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, message)
}

func (s *Sweep) encode() []byte {
	b := appendInt(nil, sweepSeq, s.Seq)
	all := make([]byte, 0, 16*len(s.Families))
	for i := range s.Families {
		all = append(all, s.Families[i][:]...)
	}
	return appendMessage(b, sweepFamilies, all)
}

func (m *Marker) encode() []byte {
	b := appendString(nil, markerAccount, m.Account)
	b = appendInt(b, markerSeq, m.Seq)
	return appendInt(b, markerAttempt, m.Attempt)
}

func (r *Result) encode() []byte {
	b := appendString(nil, resultAccount, r.Account)
	b = appendInt(b, resultSeq, r.Seq)
	b = appendInt(b, resultAttempt, r.Attempt)
	b = appendInt(b, resultAt, r.At)
	b = appendInt(b, resultPart, int64(r.Part))
	b = appendInt(b, resultParts, int64(r.Parts))
	for i := range r.Lines {
		b = appendMessage(b, resultLines, r.Lines[i].encode())
	}
	for i := range r.Corrections {
		c := &r.Corrections[i]
		b = appendMessage(b, resultCorrections, c.asLine().encode())
	}
	for i := range r.Answers {
		b = appendMessage(b, resultAnswers, r.Answers[i].encode())
	}
	return b
}

// valueSize is that of a value on the wire.
const valueSize = 24

func (v *Values) encode() []byte {
	b := appendString(nil, valuesAccount, v.Account)
	b = appendInt(b, valuesSeq, v.Seq)
	b = appendInt(b, valuesAttempt, v.Attempt)
	b = appendInt(b, valuesAt, v.At)
	b = appendMessage(b, valuesFamily, v.Family[:])
	b = appendMessage(b, valuesSet, v.Set[:])
	all := make([]byte, 0, valueSize*len(v.Values))
	for i := range v.Values {
		all = append(all, v.Values[i].Hash[:]...)
		all = binary.BigEndian.AppendUint64(all, v.Values[i].Places)
	}
	return appendMessage(b, valuesValues, all)
}

func (a *Answer) encode() []byte {
	b := appendInt(nil, answerOffset, a.Offset)
	b = appendInt(b, answerIndex, int64(a.Index))
	b = appendMessage(b, answerEvent, appendEventBody(nil, &a.Event))
	if a.Reason != "" {
		return appendString(b, answerReason, a.Reason)
	}
	return appendMessage(b, answerLine, a.Line.encode())
}

// asLine gives the correction in the form of a line, as which it travels: its amount in place of the quantity.
func (c *Correction) asLine() *ResultLine {
	return &ResultLine{
		Product: c.Product, Package: c.Package, Seller: c.Seller, Currency: c.Currency, Owed: c.Owed, Billed: c.Billed, Group: c.Group,
		UsageStart: c.UsageStart, UsageEnd: c.UsageEnd, PeriodStart: c.PeriodStart, PeriodEnd: c.PeriodEnd, Quantity: c.Amount,
	}
}

func (l *ResultLine) encode() []byte {
	b := appendString(nil, lineProduct, l.Product)
	b = appendString(b, linePackage, l.Package)
	b = appendString(b, lineSeller, l.Seller)
	b = appendString(b, lineCurrency, l.Currency)
	b = appendString(b, lineOwed, l.Owed)
	if l.Billed != l.Owed {
		b = appendString(b, lineBilled, l.Billed)
	}
	for i := range l.Group {
		pair := appendString(nil, attributeName, l.Group[i].Name)
		b = appendMessage(b, lineGroup, appendString(pair, attributeValue, l.Group[i].Value))
	}
	b = appendFixed64(b, lineUsageStart, uint64(l.UsageStart))
	b = appendFixed64(b, lineUsageEnd, uint64(l.UsageEnd))
	b = appendFixed64(b, linePeriodStart, uint64(l.PeriodStart))
	b = appendFixed64(b, linePeriodEnd, uint64(l.PeriodEnd))
	if !l.Quantity.IsZero() {
		b = appendDecimal(b, lineQuantity, l.Quantity)
	}
	b = appendInt(b, lineEvents, l.Events)
	if len(l.Segments) > 0 {
		b = appendMessage(b, lineSegments, l.Segments)
	}
	rate := appendString(nil, rateLevel, l.RateLevel)
	rate = appendString(rate, rateAccount, l.RateAccount)
	rate = appendString(rate, rateID, l.RateID)
	if rate = appendString(rate, rateModel, l.RateModel); len(rate) > 0 {
		b = appendMessage(b, lineRate, rate)
	}
	return b
}

func (d *decoder) sweep(s *Sweep, end int) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, sweepTypes) {
		case sweepSeq:
			s.Seq = d.positive(end)
		case sweepFamilies:
			stop := d.length(end)
			n := (stop - d.at) / 16
			if n == 0 || n > MaxSweepFamilies || (stop-d.at)%16 != 0 {
				d.fail("families of a sweep")
				return
			}
			s.Families = make([][16]byte, n)
			for i := range s.Families {
				d.at += copy(s.Families[i][:], d.b[d.at:])
			}
		default:
			if s.Seq == 0 || len(s.Families) == 0 {
				d.fail("sweep without definition or families")
			}
			return
		}
	}
}

func (d *decoder) marker(m *Marker, end int) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, markerTypes) {
		case markerAccount:
			m.Account = d.text(end)
		case markerSeq:
			m.Seq = d.positive(end)
		case markerAttempt:
			m.Attempt = d.positive(end)
		default:
			if m.Account == "" || m.Seq == 0 || m.Attempt == 0 {
				d.fail("marker without account, definition or attempt")
			}
			return
		}
	}
}

func (d *decoder) result(r *Result, end int) {
	var last protowire.Number
	for {
		field := d.field(end, &last, 0, resultTypes)
		switch field {
		case resultAccount:
			r.Account = d.text(end)
		case resultSeq:
			r.Seq = d.positive(end)
		case resultAttempt:
			r.Attempt = d.positive(end)
		case resultAt:
			r.At = d.positive(end)
		case resultPart:
			r.Part = int(min(d.positive(end), MaxResultParts+1))
		case resultParts:
			r.Parts = int(min(d.positive(end), MaxResultParts+1))
		case resultLines:
			r.Lines = append(r.Lines, d.resultLine(d.length(end)))
			last--
		case resultCorrections:
			r.Corrections = append(r.Corrections, d.correction(d.length(end)))
			last--
		case resultAnswers:
			r.Answers = append(r.Answers, d.answer(d.length(end)))
			last--
		default:
			switch {
			case r.Account == "" || r.Seq == 0 || r.Attempt == 0:
				d.fail("result without account, definition or attempt")
			case r.Part < 1 || r.Part > r.Parts || r.Parts > MaxResultParts:
				d.fail("parts of a result")
			case len(r.Lines) > MaxResultLines || len(r.Corrections) > MaxResultLines || len(r.Answers) > MaxAnswers:
				d.fail("too many lines in a result")
			}
			return
		}
	}
}

func (d *decoder) values(v *Values, end int) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, valuesTypes) {
		case valuesAccount:
			v.Account = d.text(end)
		case valuesSeq:
			v.Seq = d.positive(end)
		case valuesAttempt:
			v.Attempt = d.positive(end)
		case valuesAt:
			v.At = d.positive(end)
		case valuesFamily:
			v.Family = d.name(end)
		case valuesSet:
			v.Set = d.name(end)
		case valuesValues:
			v.Values = d.counted(d.length(end))
		default:
			switch {
			case v.Account == "" || v.Seq == 0 || v.Attempt == 0:
				d.fail("values without account, definition or attempt")
			case v.Family == [16]byte{} || v.Set == [16]byte{} || len(v.Values) == 0:
				d.fail("values without lines or set")
			}
			return
		}
	}
}

// name reads 16 bytes.
func (d *decoder) name(end int) (name [16]byte) {
	stop := d.length(end)
	if stop-d.at != len(name) {
		d.fail("name of another length")
		return name
	}
	d.at += copy(name[:], d.b[d.at:stop])
	return name
}

func (d *decoder) counted(stop int) []Value {
	n := (stop - d.at) / valueSize
	if n == 0 || n > MaxValues || (stop-d.at)%valueSize != 0 {
		d.fail("number of values")
		return nil
	}
	values := make([]Value, n)
	for i := range values {
		v := &values[i]
		d.at += copy(v.Hash[:], d.b[d.at:])
		v.Places = binary.BigEndian.Uint64(d.b[d.at:])
		if d.at += 8; v.Places == 0 {
			d.fail("value in no place")
			return nil
		}
	}
	return values
}

func (d *decoder) answer(end int) (a Answer) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, answerTypes) {
		case answerOffset:
			a.Offset = d.positive(end)
		case answerIndex:
			a.Index = int(min(d.positive(end), MaxBatchEvents))
		case answerEvent:
			d.event(&a.Event, &none, d.length(end))
		case answerReason:
			a.Reason = d.text(end)
		case answerLine:
			a.Line = d.resultLine(d.length(end))
		default:
			if a.Event.Corrects == nil || (a.Reason == "") != (a.Line.Product != "") || a.Index == MaxBatchEvents {
				d.fail("answer without correction, or with none or both of reason and line")
			}
			return a
		}
	}
}

func (d *decoder) correction(end int) Correction {
	l := d.resultLine(end)
	if l.Events != 0 || len(l.Segments) > 0 || l.RateLevel+l.RateAccount+l.RateID+l.RateModel != "" {
		d.fail("correction with members of a line")
	}
	return Correction{
		Product: l.Product, Package: l.Package, Seller: l.Seller, Currency: l.Currency, Owed: l.Owed, Billed: l.Billed, Group: l.Group,
		UsageStart: l.UsageStart, UsageEnd: l.UsageEnd, PeriodStart: l.PeriodStart, PeriodEnd: l.PeriodEnd, Amount: l.Quantity,
	}
}

func (d *decoder) resultLine(end int) (l ResultLine) {
	var last protowire.Number
	for {
		switch d.field(end, &last, lineGroup, lineTypes) {
		case lineProduct:
			l.Product = d.text(end)
		case linePackage:
			l.Package = d.text(end)
		case lineSeller:
			l.Seller = d.text(end)
		case lineCurrency:
			l.Currency = d.text(end)
		case lineOwed:
			l.Owed = d.text(end)
		case lineBilled:
			if l.Billed = d.text(end); l.Billed == l.Owed {
				d.fail("billed account repeats the other")
			}
		case lineGroup:
			l.Group = append(l.Group, d.pair(d.length(end)))
		case lineUsageStart:
			l.UsageStart = int64(d.fixed64(end))
		case lineUsageEnd:
			l.UsageEnd = int64(d.fixed64(end))
		case linePeriodStart:
			l.PeriodStart = int64(d.fixed64(end))
		case linePeriodEnd:
			l.PeriodEnd = int64(d.fixed64(end))
		case lineQuantity:
			if l.Quantity = d.decimal(end); l.Quantity.IsZero() {
				d.fail("default written out")
			}
		case lineEvents:
			l.Events = d.positive(end)
		case lineSegments:
			stop := d.length(end)
			if l.Segments = d.b[d.at:stop:stop]; len(l.Segments) == 0 {
				d.fail("default written out")
			}
			d.at = stop
		case lineRate:
			d.rate(&l, d.length(end))
		default:
			if l.Product == "" || l.Owed == "" || l.UsageEnd <= l.UsageStart || l.PeriodEnd <= l.PeriodStart {
				d.fail("line without product, account or periods")
			}
			if l.Billed == "" {
				l.Billed = l.Owed
			}
			return l
		}
	}
}

// pair reads a name and a value, in any order of names: that of the product.
func (d *decoder) pair(end int) (a Attribute) {
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, groupTypes) {
		case attributeName:
			a.Name = d.text(end)
		case attributeValue:
			a.Value = d.text(end)
		default:
			if a.Name == "" {
				d.fail("attribute without a name")
			}
			return a
		}
	}
}

func (d *decoder) rate(l *ResultLine, end int) {
	if d.at == end {
		d.fail("default written out")
	}
	var last protowire.Number
	for {
		switch d.field(end, &last, 0, rateTypes) {
		case rateLevel:
			l.RateLevel = d.text(end)
		case rateAccount:
			l.RateAccount = d.text(end)
		case rateID:
			l.RateID = d.text(end)
		case rateModel:
			l.RateModel = d.text(end)
		default:
			return
		}
	}
}
