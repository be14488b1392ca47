package collector

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/secret"
	"github.com/tollstream/tollstream/collector/usage"
)

// Delivery is a document that is brought to a collector: the body of a request, the value of a message.
type Delivery struct {
	// ID names it: the same for the same content whenever it comes. Events that the mapping gives no id have this and
	// their record's number.
	ID     string
	Body   []byte
	Around func(path string) string // values of what is around the document; nil: none
}

// DeliveryError says that a document cannot be cut into records: nothing of it was taken.
type DeliveryError struct{ Reason string }

func (e *DeliveryError) Error() string { return e.Reason }

// ContentID names a document by its content.
func ContentID(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// records cuts a document into records and maps them: the events, and the rows that are wrong.
func (c *Config) records(d Delivery) (*chunk, error) {
	if len(d.Body) == 0 {
		return nil, &DeliveryError{"it is empty"}
	}
	in := format.Plain(bytes.NewReader(d.Body), int64(len(d.Body)))
	f, err := c.formatOf(d, in)
	if err != nil {
		return nil, &DeliveryError{err.Error()}
	}
	mapper := format.NewMapper(&c.Mapping, f.Notation(), d.ID)
	rows, err := f.Open(in, mapper.Paths(), format.Start)
	if err != nil {
		return nil, &DeliveryError{err.Error()}
	}
	cut := &input{records: rows, mapper: mapper, file: io.NopCloser(nil)}
	defer cut.close()
	all, row := &chunk{}, format.Row{}
	for {
		var c chunk
		err := cut.fill(&c, &row, chunkRows)
		all.add(&c)
		switch {
		case max(all.rows, len(all.request.Events)) > usage.MaxRequestEvents:
			return nil, &usage.RequestError{Code: usage.CodeTooManyEvents, Message: fmt.Sprintf("more than %d records or events; send them in parts", usage.MaxRequestEvents)}
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, &DeliveryError{err.Error()}
		}
	}
}

// formatOf is the configuration's format in this document's encoding, with what is around it.
func (c *Config) formatOf(d Delivery, in format.Input) (format.Format, error) {
	if e, ok := c.Format.(*format.Envelope); ok {
		around := *e
		around.Value = d.Around
		return &around, nil
	}
	return format.Resolve(c.Format, in) //nolint:wrapcheck // the format's own words
}

// add appends another chunk's rows; what is wrong is numbered by its record.
func (c *chunk) add(more *chunk) {
	for _, s := range more.request.Events {
		s.Index += c.rows
		c.request.Events = append(c.request.Events, s)
	}
	for i, refused := range more.request.Refused { // each has its row error
		refused.Index += c.rows
		c.request.Refused = append(c.request.Refused, refused)
		e := more.errors[i]
		e.Line = int64(refused.Index) + 1
		c.errors = append(c.errors, e)
	}
	c.rows += more.rows
	c.sent += more.sent
}

// Receiver takes deliveries in.
type Receiver struct {
	Intake  *Intake
	Journal *Journal
	Secret  func(secret.Name) (string, error)
	Now     func() time.Time
	Metrics *Metrics
}

// Receive accepts the events of a delivery and notes it in the collector's history. It returns when the broker has
// acknowledged all of them and what is wrong is kept. After an error nothing counts as accepted, and the delivery may come again: a
// *DeliveryError says that it cannot be read, which is kept as well; a *usage.RequestError that it is too much; all else
// is as Intake.Accept says.
func (r *Receiver) Receive(ctx context.Context, of Journaled, c *Config, d Delivery) (Answer, error) {
	cut, err := c.records(d)
	var unreadable *DeliveryError
	switch {
	case errors.As(err, &unreadable):
		bad := RowError{Line: 1, Code: usage.CodeRow, Message: unreadable.Reason, Raw: beginning(d.Body)}
		if kept := r.Journal.Note(ctx, of, Noted{ID: d.ID, Rows: 1, Bytes: int64(len(d.Body)), Errors: []RowError{bad}}); kept != nil {
			return Answer{}, kept
		}
		return Answer{}, err
	case err != nil:
		return Answer{}, err
	}
	answer, err := r.Intake.Accept(ctx, &cut.request, AcceptOptions{Source: of.Collector, Backfill: c.Backfill})
	if err != nil {
		return Answer{}, err
	}
	noted := Noted{ID: d.ID, Rows: int64(cut.rows), Sent: int64(cut.sent), Events: int64(len(cut.request.Events)), Bytes: int64(len(d.Body)), Errors: cut.errors}
	noted.First, noted.Last = timesOf(cut.request.Events)
	return answer, r.Journal.Note(ctx, of, noted)
}

// maxBeginning bounds what is kept of a document that cannot be read.
const maxBeginning = 1024

func beginning(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), maxBeginning)]), "\ufffd")
	return strings.ReplaceAll(text, "\x00", "\ufffd")
}

// timesOf gives the earliest and the latest time that an event says; zero when none says one.
func timesOf(events []usage.Sent) (first, last time.Time) {
	for i := range events {
		if s := &events[i]; s.HasTime {
			at := time.Unix(0, s.Time).UTC()
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
	}
	return first, last
}
