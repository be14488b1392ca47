package usage

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of what a sender may send.
const (
	MaxRequestBytes  = 8 << 20 // of a request's body, decompressed
	MaxRequestEvents = 10_000
	MaxNameBytes     = 512 // of an id, source, account, product or package
	MaxAttributes    = 64  // of an event
	MaxAttributeName = 128 // bytes
)

// Code says why an event was refused at the entrance, before it was accepted.
type Code string

// The codes. They are part of the API: a client may switch on them.
const (
	CodeJSON            Code = "json_invalid"
	CodeUTF8            Code = "utf8_invalid"
	CodeEvent           Code = "event_invalid"   // not an object
	CodeEventTooLarge   Code = "event_too_large" // more than fits a record
	CodeMemberUnknown   Code = "member_unknown"
	CodeIDMissing       Code = "id_missing"
	CodeIDInvalid       Code = "id_invalid"
	CodeSource          Code = "source_invalid"
	CodeAccountMissing  Code = "account_missing"
	CodeAccountInvalid  Code = "account_invalid"
	CodeProductMissing  Code = "product_missing"
	CodeProductInvalid  Code = "product_invalid"
	CodePackage         Code = "package_invalid"
	CodeTime            Code = "time_invalid"
	CodeQuantity        Code = "quantity_invalid"
	CodeAmount          Code = "amount_invalid"
	CodeCurrency        Code = "currency_invalid"
	CodeAttributes      Code = "attributes_invalid"
	CodeCorrects        Code = "corrects_invalid"
	CodeSpecVersion     Code = "specversion_invalid" // of a CloudEvent
	CodeData            Code = "data_invalid"        // of a CloudEvent
	CodeTooManyEvents   Code = "too_many_events"     // of the whole request
	CodeRequestTooLarge Code = "request_too_large"   // of the whole request
	CodeRow             Code = "row_invalid"         // of a file: the row could not be cut into columns
)

// Refusal is the answer to one event that was not accepted.
type Refusal struct {
	Index   int    `json:"index"` // of the event in its request, from 0
	ID      string `json:"id,omitempty"`
	Code    Code   `json:"code"`
	Message string `json:"message"` // what is wrong and what to do
}

// RequestError refuses a whole request: nothing of it was accepted.
type RequestError struct {
	Code    Code
	Message string
}

func (e *RequestError) Error() string { return string(e.Code) + ": " + e.Message }

// problem is the first thing that is wrong with an event; an empty code means nothing.
type problem struct {
	code    Code
	message string
}

func (p *problem) set(code Code, format string, args ...any) {
	if p.code == "" {
		p.code, p.message = code, fmt.Sprintf(format, args...)
	}
}

// Check completes the checks that concern the event as a whole, whoever built it: required members,
// the pair of amount and currency, sizes. It gives an empty code when the event may be accepted.
func (s *Sent) Check() (Code, string) {
	var p problem
	s.check(&p)
	return p.code, p.message
}

func (s *Sent) check(p *problem) {
	switch {
	case s.ID == "":
		p.set(CodeIDMissing, "an event needs an id that is unique within its source, so that a resend is recognised")
	case s.Account == "":
		p.set(CodeAccountMissing, "name the account that used the product, by its id or any of its identifiers")
	case s.Product == "":
		p.set(CodeProductMissing, "name the product that was used, by its id or any of its identifiers")
	case s.HasQuantity && !s.Quantity.WithinLimit():
		p.set(CodeQuantity, "quantity is beyond 10^15; split the usage or use a larger unit")
	case s.HasAmount && !s.Amount.WithinLimit():
		p.set(CodeAmount, "amount is beyond 10^15; split the usage")
	case s.HasAmount && s.Currency == "":
		p.set(CodeCurrency, "an amount needs its currency, an ISO 4217 code like \"EUR\"")
	case !s.HasAmount && s.Currency != "":
		p.set(CodeAmount, "a currency needs its amount; leave both out for usage that is not money")
	}
	if s.Currency != "" {
		if _, ok := money.LookupCurrency(s.Currency); !ok {
			p.set(CodeCurrency, "unknown currency %s; use an ISO 4217 code in capital letters like \"EUR\"", quoted(s.Currency))
		}
	}
	if c := s.Corrects; c != nil {
		switch {
		case c.ID == "":
			p.set(CodeCorrects, "corrects needs the id of the event that is corrected")
		case c.ID == s.ID && (c.Source == "" || c.Source == s.Source):
			p.set(CodeCorrects, "an event cannot correct itself: give the correction an id of its own")
		case !s.HasQuantity && !s.HasAmount:
			p.set(CodeCorrects, "a correction needs the quantity, or the amount, that it takes back, below zero: left out, it would add 1")
		}
	}
	if len(s.Attributes) > MaxAttributes {
		p.set(CodeAttributes, "%d attributes, at most %d", len(s.Attributes), MaxAttributes)
	}
	if n := s.textBytes(); n > maxTextBytes {
		p.set(CodeEventTooLarge, "the event holds %d bytes of text, at most %d; shorten its attributes", n, maxTextBytes)
	}
}

// maxTextBytes leaves room in MaxEventBytes for the numbers, and for the account and routing key that
// are looked up now and, perhaps longer ones, when the event is retried.
const maxTextBytes = MaxEventBytes - 2*(MaxNameBytes+3) - 256

// textBytes bounds the wire size of the event's texts from above.
func (s *Sent) textBytes() int {
	const overhead = 4 // tag and length
	n := len(s.ID) + max(len(s.Source), MaxNameBytes) + len(s.Account) + len(s.Product) + len(s.Package) + len(s.Currency) + 6*overhead
	if s.Corrects != nil {
		n += max(len(s.Corrects.Source), MaxNameBytes) + len(s.Corrects.ID) + 3*overhead
	}
	for i := range s.Attributes {
		n += len(s.Attributes[i].Name) + len(s.Attributes[i].Value) + 3*overhead
	}
	return n
}

// ParseNumber reads the decimal of a quantity or an amount; the message of a refusal names what.
func ParseNumber(what, text string) (d money.Decimal, message string) {
	d, err := money.Parse(text)
	switch {
	case err == nil && d.WithinLimit():
		return d, ""
	case errors.Is(err, money.ErrPrecision):
		return d, fmt.Sprintf("%s %s has more than 12 decimals; round it before it is sent", what, quoted(text))
	case err == nil || errors.Is(err, money.ErrOverflow):
		return d, fmt.Sprintf("%s %s is beyond 10^15; split the usage or use a larger unit", what, quoted(text))
	default:
		return d, fmt.Sprintf("%s %s is not a decimal number like 3 or \"2.5\" (no unit, spaces or separators)", what, quoted(text))
	}
}

// quoted shows a piece of the sender's input in a message, cut to a readable length.
func quoted(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
