package usage

import (
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tollstream/tollstream/ledger/money"
)

// Shape is how a request writes its events.
type Shape uint8

// The shapes.
const (
	ShapeJSON            Shape = iota + 1 // one event or an array of events
	ShapeLines                            // NDJSON: one event a line
	ShapeCloudEvent                       // one CloudEvent, structured mode
	ShapeCloudEventBatch                  // an array of CloudEvents
)

// ShapeOf gives the shape that a Content-Type means; false for a type that is not taken. No type at
// all means JSON.
func ShapeOf(contentType string) (Shape, bool) {
	name, _, err := mime.ParseMediaType(contentType)
	switch {
	case contentType == "":
		return ShapeJSON, true
	case err != nil:
		return 0, false
	}
	switch name {
	case "application/json", "text/json":
		return ShapeJSON, true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return ShapeLines, true
	case "application/cloudevents+json":
		return ShapeCloudEvent, true
	case "application/cloudevents-batch+json":
		return ShapeCloudEventBatch, true
	}
	return 0, false
}

// Request is what a body was read to. Events and refusals together are all that it held.
type Request struct {
	Events     []Sent
	Refused    []Refusal
	attributes []Attribute // of all events, in one growing array
}

// Parse is Request.Parse into a request of its own.
func Parse(shape Shape, body string) (*Request, error) {
	r := new(Request)
	if err := r.Parse(shape, body); err != nil {
		return nil, err
	}
	return r, nil
}

// Parse reads and checks the events of a body, in place of what the request held, whose memory it
// uses again. An event that is wrong is refused by itself; a body of which the rest cannot be read,
// or that holds too many events, is refused as a whole with a *RequestError, so that a sender who
// resends what was refused cannot miss any; the request is empty then.
//
// The strings of the result share the memory of body.
func (r *Request) Parse(shape Shape, body string) error {
	r.Events, r.Refused, r.attributes = r.Events[:0], r.Refused[:0], r.attributes[:0]
	if len(body) > MaxRequestBytes {
		return &RequestError{CodeRequestTooLarge, fmt.Sprintf("the request has %d bytes, at most %d; send it in parts", len(body), MaxRequestBytes)}
	}
	p := parser{sc: scanner{s: body, utf8OK: utf8.ValidString(body), escapes: strings.IndexByte(body, '\\') >= 0}, into: r}
	p.cloud = shape == ShapeCloudEvent || shape == ShapeCloudEventBatch
	r.Events = slices.Grow(r.Events, min(len(body)/64+1, 1024))
	var err error
	if shape == ShapeLines {
		err = p.lines(body)
	} else {
		err = p.document(shape)
	}
	if err != nil {
		r.Events, r.Refused = r.Events[:0], r.Refused[:0]
	}
	return err
}

// parser fills one Request.
type parser struct {
	sc    scanner
	cloud bool
	into  *Request
	count int
}

func tooMany() *RequestError {
	return &RequestError{CodeTooManyEvents, fmt.Sprintf("more than %d events; send the request in parts", MaxRequestEvents)}
}

// lines reads one event a line. Empty lines do not count.
func (p *parser) lines(body string) error {
	sc := p.sc
	for len(body) > 0 {
		line, rest, _ := strings.Cut(body, "\n")
		body = rest
		sc.s = line
		p.sc = sc
		if p.sc.next() == 0 && p.sc.at == len(line) {
			continue
		}
		if p.count == MaxRequestEvents {
			return tooMany()
		}
		p.event(true)
	}
	return nil
}

// document reads one event or an array of events.
func (p *parser) document(shape Shape) error {
	array := p.sc.next() == '['
	switch {
	case shape == ShapeCloudEvent && array:
		return &RequestError{CodeJSON, "application/cloudevents+json is one event; send an array as application/cloudevents-batch+json"}
	case shape == ShapeCloudEventBatch && !array:
		return &RequestError{CodeJSON, "application/cloudevents-batch+json is an array; send one event as application/cloudevents+json"}
	case !array:
		p.event(true)
		return nil
	}
	p.sc.at++
	if !p.sc.take(']') {
		for {
			if p.count == MaxRequestEvents {
				return tooMany()
			}
			p.event(false)
			if !p.sc.broken && p.sc.take(',') {
				continue
			}
			p.sc.expect(']')
			break
		}
	}
	if p.sc.broken || p.sc.next() != 0 || p.sc.at < len(p.sc.s) {
		return &RequestError{CodeJSON, fmt.Sprintf("the body is not JSON at byte %d, in or after event %d; nothing of it was accepted: correct it and send all of it again", p.sc.at, max(p.count-1, 0))}
	}
	return nil
}

// event reads the event that starts here; whole says that nothing else may follow it.
func (p *parser) event(whole bool) {
	p.into.Events = append(p.into.Events, Sent{Index: p.count})
	s := &p.into.Events[len(p.into.Events)-1]
	p.count++
	var bad problem
	first := len(p.into.attributes)
	if p.sc.next() == '{' {
		if p.cloud {
			p.cloudEvent(s, &bad)
		} else {
			p.members(s, &bad)
		}
	} else if of, text := p.sc.value(); of != kindNone {
		bad.set(notJSON(of, CodeEvent), "an event is an object like {\"id\": …, \"account\": …, \"product\": …}, not %s", quoted(text))
	}
	if p.sc.broken || whole && (p.sc.next() != 0 || p.sc.at < len(p.sc.s)) {
		bad = problem{CodeJSON, fmt.Sprintf("not JSON at byte %d of the event's text", p.sc.at)}
	}
	p.finish(s, &bad, first)
}

// finish sorts the attributes, runs the checks of the whole and takes back an event that is refused.
func (p *parser) finish(s *Sent, bad *problem, first int) {
	r := p.into
	if own := r.attributes[first:len(r.attributes):len(r.attributes)]; len(own) > 0 {
		if len(own) > 1 {
			slices.SortFunc(own, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
		}
		for i := 1; i < len(own); i++ {
			if own[i].Name == own[i-1].Name {
				bad.set(CodeAttributes, "attribute %s stands twice", quoted(own[i].Name))
			}
		}
		s.Attributes = own
	}
	s.check(bad)
	if bad.code == "" {
		return
	}
	r.Refused = append(r.Refused, Refusal{s.Index, s.ID, bad.code, bad.message})
	r.Events = r.Events[:len(r.Events)-1]
	r.attributes = r.attributes[:first]
}

// The members of an event, as bits, to notice one that stands twice.
const (
	memberID = 1 << iota
	memberSource
	memberAccount
	memberProduct
	memberPackage
	memberTime
	memberQuantity
	memberAmount
	memberCurrency
	memberAttributes
	memberSpecVersion
	memberCorrects
)

// once notes that a member was seen.
func once(seen *uint, member uint, name string, bad *problem) {
	if *seen&member != 0 {
		bad.set(CodeJSON, "member %s stands twice", quoted(name))
	}
	*seen |= member
}

// members reads an event of our own format.
func (p *parser) members(s *Sent, bad *problem) {
	var seen uint
	for more := p.sc.open(); more; more = p.sc.more() {
		switch name, _ := p.sc.member(); name {
		case "id":
			once(&seen, memberID, name, bad)
			s.ID = p.name(name, CodeIDInvalid, bad)
		case "source":
			once(&seen, memberSource, name, bad)
			s.Source = p.name(name, CodeSource, bad)
		case "account":
			once(&seen, memberAccount, name, bad)
			s.Account = p.name(name, CodeAccountInvalid, bad)
		case "product":
			once(&seen, memberProduct, name, bad)
			s.Product = p.name(name, CodeProductInvalid, bad)
		case "package":
			once(&seen, memberPackage, name, bad)
			s.Package = p.name(name, CodePackage, bad)
		case "time":
			once(&seen, memberTime, name, bad)
			s.Time, s.HasTime = p.instant(bad)
		case "quantity":
			once(&seen, memberQuantity, name, bad)
			s.Quantity, s.HasQuantity = p.decimal(name, CodeQuantity, bad)
		case "amount":
			once(&seen, memberAmount, name, bad)
			s.Amount, s.HasAmount = p.decimal(name, CodeAmount, bad)
		case "currency":
			once(&seen, memberCurrency, name, bad)
			s.Currency = p.name(name, CodeCurrency, bad)
		case "attributes":
			once(&seen, memberAttributes, name, bad)
			p.attributeMembers(bad)
		case "corrects":
			once(&seen, memberCorrects, name, bad)
			s.Corrects = p.corrects(bad)
		default:
			p.sc.value()
			bad.set(CodeMemberUnknown, "unknown member %s; an event has id, source, account, product, package, time, quantity, amount, currency, corrects, and your own data under attributes", quoted(name))
		}
	}
}

// notJSON gives the code for a value that is no JSON, else the member's own.
func notJSON(of kind, code Code) Code {
	switch of {
	case kindNoJSON, kindControl:
		if code == CodeQuantity || code == CodeAmount {
			return code // NaN and its like: say that the number is wrong
		}
		return CodeJSON
	case kindNoUTF8:
		return CodeUTF8
	default:
		return code
	}
}

// name reads a member that is a short text; null is as if it were not sent.
func (p *parser) name(name string, code Code, bad *problem) string {
	of, text := p.sc.value()
	switch {
	case of == kindNull:
		return ""
	case of == kindNoUTF8:
		bad.set(CodeUTF8, "%s is not valid UTF-8", name)
	case of == kindControl:
		bad.set(CodeJSON, "%s holds a control character that is not escaped", name)
	case of != kindString:
		bad.set(notJSON(of, code), "%s must be a string, not %s", name, quoted(text))
	case len(text) > MaxNameBytes || p.sc.escapes: // without an escape there is no NUL
		if message := CheckName(name, text); message != "" {
			bad.set(code, "%s", message)
			return ""
		}
		return text
	default:
		return text
	}
	return ""
}

// CheckName checks an id, source, account, product or package; the message of a refusal is empty
// when it may stand.
func CheckName(what, text string) (message string) {
	if len(text) > MaxNameBytes {
		return fmt.Sprintf("%s has %d bytes, at most %d", what, len(text), MaxNameBytes)
	}
	if strings.IndexByte(text, 0) >= 0 {
		return what + " holds a NUL character"
	}
	return ""
}

func (p *parser) instant(bad *problem) (instant int64, sent bool) {
	of, text := p.sc.value()
	switch of {
	case kindNull:
		return 0, false
	case kindString:
		instant, message := ParseTime(text)
		if message != "" {
			bad.set(CodeTime, "%s", message)
		}
		return instant, true
	default:
		bad.set(notJSON(of, CodeTime), "time must be a string like \"2026-11-21T10:00:00Z\", not %s", quoted(text))
		return 0, false
	}
}

func (p *parser) decimal(name string, code Code, bad *problem) (d money.Decimal, sent bool) {
	of, text := p.sc.value()
	switch of {
	case kindNull:
		return d, false
	case kindString, kindNumber:
		d, message := ParseNumber(name, text)
		if message != "" {
			bad.set(code, "%s", message)
		}
		return d, true
	default:
		bad.set(notJSON(of, code), "%s must be a decimal number or a string that holds one, not %s", name, quoted(text))
		return d, false
	}
}

// attributeMembers reads the object of attributes.
func (p *parser) attributeMembers(bad *problem) {
	if p.sc.next() != '{' {
		if of, text := p.sc.value(); of != kindNull {
			bad.set(notJSON(of, CodeAttributes), "attributes must be an object of names and values, not %s", quoted(text))
		}
		return
	}
	for more := p.sc.open(); more; more = p.sc.more() {
		name, of := p.sc.member()
		p.attribute(name, of, false, bad)
	}
}

// corrects reads the name of the event that is corrected, nil when none was sent.
func (p *parser) corrects(bad *problem) *EventName {
	if p.sc.next() != '{' {
		if of, text := p.sc.value(); of != kindNull {
			bad.set(notJSON(of, CodeCorrects), "corrects must be an object like {\"source\": …, \"id\": …}, not %s", quoted(text))
		}
		return nil
	}
	n := new(EventName)
	var seen uint
	for more := p.sc.open(); more; more = p.sc.more() {
		switch name, _ := p.sc.member(); name {
		case "source":
			once(&seen, memberSource, name, bad)
			n.Source = p.name("corrects.source", CodeCorrects, bad)
		case "id":
			once(&seen, memberID, name, bad)
			n.ID = p.name("corrects.id", CodeCorrects, bad)
		default:
			p.sc.value()
			bad.set(CodeCorrects, "unknown member %s of corrects, which has source and id", quoted(name))
		}
	}
	return n
}

// shortest gives the decimal's shortest form: the text itself where it is that already.
func shortest(d money.Decimal, text string) string {
	var buffer [64]byte
	b, _ := d.AppendText(buffer[:0]) // never fails
	if string(b) == text {
		return text
	}
	return string(b)
}

// attribute reads one attribute's value. Numbers are written in their shortest form, so that 1 and
// 1.0 are one group; null is as if it were not sent.
func (p *parser) attribute(name string, nameKind kind, nested bool, bad *problem) {
	of, text := p.sc.value()
	switch {
	case nameKind != kindString:
		bad.set(notJSON(nameKind, CodeAttributes), "an attribute's name is not valid text")
	case name == "" || len(name) > MaxAttributeName || p.sc.escapes && strings.IndexByte(name, 0) >= 0:
		bad.set(CodeAttributes, "attribute name %s: 1 to %d bytes without NUL", quoted(name), MaxAttributeName)
	case of == kindNull:
		return
	case of == kindNumber:
		if d, err := money.Parse(text); err == nil {
			text = shortest(d, text)
		}
	case of == kindNested && !nested:
		bad.set(CodeAttributes, "attribute %s must be a string, number or boolean; flatten what is nested", quoted(name))
	case of == kindNoUTF8:
		bad.set(CodeUTF8, "attribute %s is not valid UTF-8", quoted(name))
	case of == kindNoJSON || of == kindControl:
		bad.set(CodeJSON, "attribute %s is not JSON: %s", quoted(name), quoted(text))
	case of == kindString && p.sc.escapes && strings.IndexByte(text, 0) >= 0:
		bad.set(CodeAttributes, "attribute %s holds a NUL character", quoted(name))
	}
	if bad.code == "" {
		p.into.attributes = append(p.into.attributes, Attribute{name, text})
	}
}
