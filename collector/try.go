package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tollstream/tollstream/collector/format"
	"github.com/tollstream/tollstream/collector/source"
	"github.com/tollstream/tollstream/collector/usage"
)

// Bounds of a trial.
const maxTrialErrors = 10_000

// Trial is what a file would be: nothing of it was sent or stored.
type Trial struct {
	File     string       `json:"file"`
	Rows     int64        `json:"rows"`
	Mapped   int64        `json:"mapped"`   // rows that give events
	Filtered int64        `json:"filtered"` // rows that give none
	Rejected int64        `json:"rejected"`
	Events   []TrialEvent `json:"events"` // the first ones
	Errors   []RowError   `json:"errors"` // all, up to 10,000
}

// TrialEvent is an event as it would be sent. Whether its account and product exist is not asked.
type TrialEvent struct {
	Line       int64             `json:"line"`
	ID         string            `json:"id"`
	Source     string            `json:"source"`
	Account    string            `json:"account"`
	Product    string            `json:"product"`
	Package    string            `json:"package,omitempty"`
	Time       *time.Time        `json:"time,omitempty"` // none: the time of arrival
	Quantity   string            `json:"quantity,omitempty"`
	Amount     string            `json:"amount,omitempty"`
	Currency   string            `json:"currency,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Try reads and maps a whole file, and keeps the first events and every error. An error says why the file
// cannot be read any further.
func Try(ctx context.Context, name string, config *Config, file *source.File, events int) (*Trial, error) {
	r := &run{RunDeps: RunDeps{Metrics: nil}, request: RunRequest{Collector: name, Config: config, File: file}, progress: func(Progress) {}}
	hash, err := r.identify(ctx)
	if err != nil {
		return nil, fmt.Errorf("try collector %s: %w", name, err)
	}
	r.key = FileKey{name, hash}
	in, err := r.open(format.Start)
	if err != nil {
		return nil, fmt.Errorf("try collector %s: %w", name, err)
	}
	defer in.close()
	t := &Trial{File: file.Name, Events: []TrialEvent{}, Errors: []RowError{}}
	var row format.Row
	for ctx.Err() == nil {
		err := in.records.Next(&row)
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return t, fmt.Errorf("try collector %s on %s: %w", name, file.Name, err)
		}
		t.Rows++
		made := in.mapper.Map(&row, nil)
		switch {
		case row.Code != "":
			if t.Rejected++; t.Rejected <= maxTrialErrors {
				t.Errors = append(t.Errors, RowError{Line: row.Line, ID: row.ID, Code: row.Code, Message: row.Message, Raw: row.Raw})
			}
		case len(made) == 0:
			t.Filtered++
		default:
			t.Mapped++
		}
		for i := range made {
			if len(t.Events) < events {
				t.Events = append(t.Events, trialEvent(name, row.Line, &made[i]))
			}
		}
	}
	return nil, ctx.Err() //nolint:wrapcheck // the caller names what was stopped
}

func trialEvent(name string, line int64, s *usage.Sent) TrialEvent {
	e := TrialEvent{Line: line, ID: s.ID, Source: s.Source, Account: s.Account, Product: s.Product, Package: s.Package, Currency: s.Currency}
	if e.Source == "" {
		e.Source = name
	}
	if s.HasTime {
		at := time.Unix(0, s.Time).UTC()
		e.Time = &at
	}
	if s.HasQuantity {
		e.Quantity = s.Quantity.String()
	}
	if s.HasAmount {
		e.Amount = s.Amount.String()
	}
	if len(s.Attributes) > 0 {
		e.Attributes = make(map[string]string, len(s.Attributes))
		for _, a := range s.Attributes {
			e.Attributes[a.Name] = a.Value
		}
	}
	return e
}
