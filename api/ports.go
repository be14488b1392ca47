package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater/catalog"
)

// What the interfaces of this package answer beside data. Wrap them to add the words that a user reads: the text
// of the whole error goes into the problem's detail. Any other error is a failure of ours (500, logged).
var (
	ErrNotFound     = errors.New("not found")                          // 404
	ErrInvalid      = errors.New("invalid")                            // 422
	ErrConflict     = errors.New("conflict")                           // 409
	ErrMalformed    = errors.New("malformed request")                  // 400
	ErrTooLarge     = errors.New("request is too large")               // 413
	ErrUnsupported  = errors.New("unsupported media type")             // 415
	ErrUnavailable  = errors.New("a store does not answer, try again") // 503
	ErrBackPressure = errors.New("too much at once, try again later")  // 429, see BackPressure
)

// BackPressure is ErrBackPressure with the time after which a repetition makes sense.
type BackPressure struct{ RetryAfter time.Duration }

// Error says what to do.
func (b *BackPressure) Error() string { return ErrBackPressure.Error() }

// Is makes it an ErrBackPressure.
func (b *BackPressure) Is(target error) bool { return target == ErrBackPressure }

// Ingester takes usage in: parses the body, resolves accounts, publishes, and returns when all that it
// accepted is acknowledged by the broker. Not idempotent by itself; the events' identities make repeats harmless.
//
// Errors: ErrMalformed (nothing could be read), ErrUnsupported (content type or encoding), ErrTooLarge (more than
// MaxUsageBytes after decompression, or MaxUsageEvents), BackPressure, ErrUnavailable; after each of them nothing of the request was
// accepted.
type Ingester interface {
	Ingest(ctx context.Context, r IngestRequest) (IngestAnswer, error)
}

// Bounds of one request with usage.
const (
	MaxUsageBytes  = 8 << 20
	MaxUsageEvents = 10_000
)

// IngestRequest is a request body with usage in one of the shapes of the outside contract.
type IngestRequest struct {
	ContentType     string // as sent; empty: JSON
	ContentEncoding string // as sent: "", "identity", "gzip"
	Body            io.Reader
	DefaultSource   string // source of events that name none: the key's
	Backfill        bool
}

// IngestAnswer is the body of the 202.
type IngestAnswer struct {
	Accepted int       `json:"accepted" doc:"events that all in-sync replicas of the broker have"`
	Rejected []Refused `json:"rejected" doc:"events that were refused by themselves"`
}

// Refused is one event of a request that was not accepted.
type Refused struct {
	Index   int    `json:"index" doc:"position in the request, from 0"`
	ID      string `json:"id,omitempty" doc:"the event's id, where it could be read"`
	Code    string `json:"code" example:"quantity_invalid"`
	Message string `json:"message"`
}

// EventParser reads one usage event in the JSON shape of the outside contract, for pricing it without recording it: defaults
// are filled in, at for a time that it does not say; the account is as it was sent. The error is an ErrInvalid that says what is wrong, an
// *EventRefusal where the event can be told from what is around it.
type EventParser interface {
	ParseEvent(body []byte, at time.Time) (usage.Event, error)
}

// EventRefusal says what is wrong with one event.
type EventRefusal struct{ Code, Message string }

// Error is the code and the message.
func (e *EventRefusal) Error() string { return ErrInvalid.Error() + ": " + e.Code + ": " + e.Message }

// Is makes it an ErrInvalid.
func (e *EventRefusal) Is(target error) bool { return target == ErrInvalid }

// Invoices answers questions about current invoices; *invoicer.Desk is it.
type Invoices interface {
	Invoice(ctx context.Context, q invoicer.Question) (*invoicer.Invoice, error)
	Children(ctx context.Context, q invoicer.Question) (*invoicer.Family, error)
	Prices(ctx context.Context, q invoicer.Question) ([]invoicer.Price, error)
	Line(ctx context.Context, q invoicer.Question, line string) (*invoicer.LineDetail, error)
	// Charge explains an activity; the account is a hint where to look.
	Charge(ctx context.Context, id, account string) (*invoicer.ChargeDetail, error)
	Trial(ctx context.Context, c invoicer.Conditions) (*invoicer.Trial, error)
	// Find returns the account with its chain of parents and whom it is billed to.
	Find(ctx context.Context, q invoicer.Question) (*invoicer.Target, error)
}

// Watcher tells when a billed account's current invoices may have changed.
type Watcher interface {
	// Watch returns a channel of capacity 1 that holds a value after every change, until the context ends; then it is closed.
	// Changes may be joined, and after the live store was away a value comes whether or not something changed.
	Watch(ctx context.Context, billed string) (<-chan struct{}, error)
}

// Format is how a document is written.
type Format string

// The formats of documents.
const (
	FormatJSON Format = "json"
	FormatYAML Format = "yaml"
	FormatCSV  Format = "csv"  // a price list
	FormatXLSX Format = "xlsx" // a price list
)

// Document is a catalogue document or a part of one, as it was sent.
type Document struct {
	Format Format
	Body   []byte
	Actor  string // who applies it: the key's name, for the audit
}

// Applied says what a document changed, or would change.
type Applied struct {
	Seq     int64    `json:"seq" doc:"sequence number of the definitions now"`
	DryRun  bool     `json:"dry_run" doc:"nothing was written"`
	Changes []Change `json:"changes" doc:"empty when everything was so already"`

	Differences []Difference `json:"differences,omitempty" doc:"of a dry run: what the changes mean, in words, and whom they concern; the first thousand"`
	More        int          `json:"more_differences,omitempty" doc:"differences beyond the first thousand"`
}

// Difference is what a change means: one price, or one other property.
type Difference struct {
	Kind     string           `json:"kind" example:"contract" doc:"of the definition that changes"`
	ID       string           `json:"id"`
	Text     string           `json:"text" example:"API calls, contract c-1 of Acme GmbH, from 2026-12-01: 0.10 → 0.08 EUR per request"`
	Product  string           `json:"product,omitempty" doc:"whose price it is; absent where it is no price"`
	Level    string           `json:"level,omitempty" doc:"of the price" example:"contract"`
	Package  string           `json:"package,omitempty"`
	Currency string           `json:"currency,omitempty"`
	From     string           `json:"from,omitempty" doc:"date or instant; absent: always"`
	Until    string           `json:"until,omitempty" doc:"the first moment without; absent: no end"`
	Before   string           `json:"before,omitempty" doc:"the price in words; absent: there was none at this level"`
	After    string           `json:"after,omitempty" doc:"the price in words; absent: there is none at this level"`
	Accounts AffectedAccounts `json:"accounts"`
}

// AffectedAccounts are those that a difference concerns.
type AffectedAccounts struct {
	Count    int64    `json:"count" doc:"of a price: the accounts that can get it, also those that a nearer level prices"`
	Everyone bool     `json:"everyone,omitempty" doc:"whoever uses the product"`
	First    []string `json:"first,omitempty" doc:"ids of some of them"`
}

// Change is one changed definition.
type Change struct {
	Action string   `json:"action" enum:"created,changed,deleted"`
	Kind   string   `json:"kind" example:"product"`
	ID     string   `json:"id"`
	Fields []string `json:"fields,omitempty" doc:"of a changed one: its members that differ"`
	Note   string   `json:"note,omitempty" doc:"when a change takes effect later"`
}

// DocumentErrors says what is wrong with a document; it is an ErrInvalid.
type DocumentErrors []DocumentError

// DocumentError is one thing that is wrong: where, and what to do.
type DocumentError struct {
	Path    string // products[0].rates[1].tiers
	Line    int    // of the document, from 1; 0: not known
	Message string
}

// Catalog reads and writes definitions.
type Catalog interface {
	// Apply checks the document and, unless dry, writes it in one transaction; it returns when every partition has
	// the change in its log. Idempotent. Errors: DocumentErrors, ErrUnavailable.
	Apply(ctx context.Context, d Document, dryRun bool) (*Applied, error)
	// Export returns the whole catalogue as one document that Apply takes.
	Export(ctx context.Context, f Format) ([]byte, error)
}

// Drafts lays documents over the newest definitions in memory and writes nothing. Errors: DocumentErrors, ErrUnavailable.
type Drafts interface {
	Draft(ctx context.Context, d Document) (*catalog.Draft, error)
}

// CatalogKinds reads definitions of one kind, each in the shape that it has in a document.
type CatalogKinds interface {
	// Definition returns one definition; ErrNotFound.
	Definition(ctx context.Context, kind catalog.Kind, id string) (json.RawMessage, error)
	// Definitions returns a page of them ordered by id; next is "" at the end.
	Definitions(ctx context.Context, kind catalog.Kind, cursor string, limit int) (data []json.RawMessage, next string, err error)
}

// Error tells the first thing that is wrong.
func (e DocumentErrors) Error() string {
	switch len(e) {
	case 0:
		return "the document is invalid"
	case 1:
		return e[0].String()
	}
	return "the document has several errors; the first: " + e[0].String()
}

// String is the place and the message.
func (e DocumentError) String() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Is makes it an ErrInvalid.
func (e DocumentErrors) Is(target error) bool { return target == ErrInvalid }
