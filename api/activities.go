package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
)

func (s *Server) registerActivities() {
	if s.Activities == nil {
		return
	}
	s.registerAccountActivities()
	if s.Rejections != nil {
		s.registerWay()
	}
}

type activitiesInput struct {
	ID        string   `path:"id" doc:"id of the account that used"`
	Line      string   `query:"line" doc:"id of an invoice line"`
	Product   string   `query:"product"`
	Day       string   `query:"day" doc:"a date of event time in the account's zone" example:"2026-11-03"`
	From      string   `query:"from" doc:"date or instant of event time, inclusive"`
	To        string   `query:"to" doc:"date or instant of event time, exclusive"`
	Attribute []string `query:"attribute,explode" doc:"name=value, repeated: all must match" example:"region=eu"`
	Page
	CSVParam
}

func (s *Server) registerAccountActivities() {
	register(s, ReadAccount, huma.Operation{
		OperationID: "list-activities", Method: http.MethodGet, Path: "/v1/accounts/{id}/activities", Tags: []string{"invoices"},
		Summary:     "The usage behind an account's invoice, each with its charge and its rate, newest first",
		Description: "Charges and adjustments of what the account itself used; with a line, of that line.",
		Metadata:    map[string]any{csvCapable: true},
		Errors:      []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *activitiesInput) (*body[List[Activity]], error) {
		if err := s.mayRead(ctx, in.ID); err != nil {
			return nil, err
		}
		q := ActivityQuery{Account: in.ID, Line: in.Line, Product: in.Product, Cursor: in.Cursor, Limit: in.Limit}
		if err := s.narrow(ctx, in, &q); err != nil {
			return nil, err
		}
		found, err := s.Activities.Activities(ctx, q)
		if err != nil {
			return nil, err
		}
		list := listOf(found.Data, found.Next)
		return answer(&list, nil)
	})
	s.offerCSV("/v1/accounts/{id}/activities")
}

// narrow reads days and attributes.
func (s *Server) narrow(ctx context.Context, in *activitiesInput, q *ActivityQuery) error {
	zone := time.UTC
	if s.Invoices != nil {
		target, err := s.Invoices.Find(ctx, invoicer.Question{Account: in.ID})
		if err != nil {
			return err
		}
		if target.Account.Zone != nil {
			zone = target.Account.Zone
		}
	}
	var err error
	switch {
	case in.Day != "" && (in.From != "" || in.To != ""):
		return fmt.Errorf("%w: give either day, or from and to", ErrInvalid)
	case in.Day != "":
		if q.From, err = time.ParseInLocation(time.DateOnly, in.Day, zone); err != nil || !plausible(q.From) {
			return fmt.Errorf(`%w: day %q is not a date like "2026-11-03"`, ErrInvalid, in.Day)
		}
		q.To = q.From.AddDate(0, 0, 1)
	}
	if in.From != "" {
		if q.From, err = instantOf("from", in.From, zone); err != nil {
			return err
		}
	}
	if in.To != "" {
		if q.To, err = instantOf("to", in.To, zone); err != nil {
			return err
		}
	}
	for _, pair := range in.Attribute {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return fmt.Errorf("%w: attribute %q is not name=value", ErrInvalid, pair)
		}
		if q.Attributes == nil {
			q.Attributes = make(map[string]string)
		}
		q.Attributes[name] = value
	}
	return nil
}

// EventWay is what is known of one usage event.
type EventWay struct {
	Source  string         `json:"source"`
	ID      string         `json:"id"`
	Account string         `json:"account" doc:"who used, or what was sent as the account"`
	State   string         `json:"state" enum:"charged,rejected"`
	Steps   []WayStep      `json:"steps" doc:"received, recorded, rated or rejected, line, invoice, report"`
	Charged *Activity      `json:"charged,omitempty" doc:"the charge, with its rate"`
	Why     []string       `json:"why,omitempty" doc:"the levels of the pricing hierarchy as they answer now, one sentence each"`
	Refused *RejectedUsage `json:"rejected,omitempty"`
}

// WayStep is one station of an event.
type WayStep struct {
	Name   string     `json:"name" enum:"received,recorded,rated,rejected,line,invoice,report"`
	At     *time.Time `json:"at,omitempty"`
	Detail string     `json:"detail"`
}

func (s *Server) registerWay() {
	register(s, ReadOperations, huma.Operation{
		OperationID: "event-way", Method: http.MethodGet, Path: "/v1/events/{source}/{id}", Tags: []string{"operations"},
		Summary: "A usage event's way: received, record, offset, rate and why, line, invoice, report",
		Description: "What the report store and the rejected usage know. Several when accounts used the same source and id. An event that was accepted a moment ago may not be there yet; " +
			"a duplicate is not recorded again, so the way is the first one's.",
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		Source string `path:"source"`
		ID     string `path:"id"`
	}) (*body[List[EventWay]], error) {
		ways, err := s.ways(ctx, in.Source, in.ID)
		if err != nil {
			return nil, err
		}
		if len(ways) == 0 {
			return nil, fmt.Errorf("event %q of source %q: %w: neither charged nor rejected so far", in.ID, in.Source, ErrNotFound)
		}
		list := listOf(ways, "")
		return answer(&list, nil)
	})
}

// maxWays bounds how many events of one source and id are shown.
const maxWays = 100

func (s *Server) ways(ctx context.Context, source, id string) ([]EventWay, error) {
	var ways []EventWay
	charged, err := s.Activities.Activities(ctx, ActivityQuery{Source: source, EventID: id, Limit: maxWays})
	if err != nil {
		return nil, fmt.Errorf("look for event %q of source %q in the report store: %w", id, source, err)
	}
	for i := range charged.Data {
		ways = append(ways, s.chargedWay(ctx, &charged.Data[i]))
	}
	refused, err := s.Rejections.Rejected(ctx, RejectedFilter{Source: source, ID: id}, "", maxWays)
	if err != nil {
		return nil, fmt.Errorf("look for event %q of source %q in the rejected usage: %w", id, source, err)
	}
	for i := range refused.Data {
		r := &refused.Data[i]
		ways = append(ways, EventWay{
			Source: r.Source, ID: r.ID, Account: r.Account, State: "rejected", Refused: r,
			Steps: []WayStep{
				{Name: "received", At: &r.ReceivedAt, Detail: "acknowledged by the broker"},
				recorded(r.Partition, r.Offset, r.Index),
				{Name: "rejected", Detail: r.Reason + ": kept whole, waits for a retry"},
			},
		})
	}
	return ways, nil
}

func recorded(partition int32, offset int64, index int) WayStep {
	return WayStep{Name: "recorded", Detail: fmt.Sprintf("partition %d, offset %d, event %d of its record", partition, offset, index)}
}

func (s *Server) chargedWay(ctx context.Context, a *Activity) EventWay {
	owner := a.Rate.Level
	if a.Rate.Account != "" {
		owner += " of account " + a.Rate.Account
	}
	way := EventWay{
		Source: a.Source, ID: a.ID, Account: a.Account, State: "charged", Charged: a,
		Steps: []WayStep{
			{Name: "received", At: &a.LogTime, Detail: "acknowledged by the broker"},
			recorded(a.Partition, a.Offset, a.Index),
			{Name: "rated", Detail: fmt.Sprintf("%s %s by rate %s (%s, %s), definitions %d", a.Charge, a.Currency, a.Rate.ID, a.Rate.Model, owner, a.ActivatedSeq)},
			{Name: "line", Detail: "line " + a.Line + ", then at " + a.LineAmount.String()},
			{Name: "invoice", Detail: "invoice " + a.Invoice + " of account " + a.Billed},
			{Name: "report", Detail: "in the report store"},
		},
	}
	if s.Invoices == nil {
		return way
	}
	// Why the rate answered; without the line (an old period) the way is shown without it.
	if detail, err := s.Invoices.Line(ctx, invoicer.Question{Account: a.Account}, a.Line); err == nil {
		for _, step := range detail.Asked {
			mark := "passed over: "
			if step.Answered {
				mark = "answered: "
			}
			way.Why = append(way.Why, step.Level+" "+mark+step.Why)
		}
	}
	return way
}
