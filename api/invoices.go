package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
)

// AccountInput names an account and one of its periods.
type AccountInput struct {
	ID     string `path:"id" doc:"id of the account" example:"acme"`
	Period string `query:"period" doc:"a date of the account's zone, or an instant, inside the period; default: the one that contains now" example:"2026-11-01"`
}

func (in AccountInput) question() invoicer.Question {
	return invoicer.Question{Account: in.ID, Period: in.Period}
}

// mayRead checks the account against the caller.
func (s *Server) mayRead(ctx context.Context, account string) error {
	return s.Access.MayReadAccount(ctx, PrincipalOf(ctx), account)
}

func (s *Server) registerInvoices() {
	if s.Invoices == nil {
		return
	}
	operation := func(id, path, summary, description string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"invoices"}, Summary: summary, Description: description,
			Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity},
		}
	}
	register(s, ReadAccount, operation("current-invoice", "/v1/accounts/{id}/invoice", "The current invoice, live",
		"An account that is billed to its parent sees its part of the parent's invoice: the lines that it and the accounts below it used, and their total; "+
			"billed_account names who is invoiced."),
		func(ctx context.Context, in *AccountInput) (*body[invoicer.Invoice], error) {
			if err := s.mayRead(ctx, in.ID); err != nil {
				return nil, err
			}
			return answer(s.Invoices.Invoice(ctx, in.question()))
		})
	register(s, ReadAccount, operation("account-children", "/v1/accounts/{id}/children", "The account with those below it, and what each used",
		"Each amount is of the lines that the account itself used, on whoever's invoice they stand, so the amounts add up."),
		func(ctx context.Context, in *AccountInput) (*body[invoicer.Family], error) {
			if err := s.mayRead(ctx, in.ID); err != nil {
				return nil, err
			}
			return answer(s.Invoices.Children(ctx, in.question()))
		})
	register(s, ReadAccount, operation("account-prices", "/v1/accounts/{id}/prices", "The account's own price list",
		"The rate that prices a usage event of each product, with where it comes from."),
		func(ctx context.Context, in *AccountInput) (*body[List[invoicer.Price]], error) {
			if err := s.mayRead(ctx, in.ID); err != nil {
				return nil, err
			}
			prices, err := s.Invoices.Prices(ctx, in.question())
			list := listOf(prices, "")
			return answer(&list, err)
		})
	register(s, ReadAccount, operation("explain-line", "/v1/accounts/{id}/lines/{line}", "One line of the invoice with the arithmetic of its amount", ""),
		func(ctx context.Context, in *struct {
			AccountInput
			Line string `path:"line" doc:"id of the line"`
		}) (*body[invoicer.LineDetail], error) {
			if err := s.mayRead(ctx, in.ID); err != nil {
				return nil, err
			}
			return answer(s.Invoices.Line(ctx, in.question(), in.Line))
		})
	register(s, ReadAccount, operation("explain-activity", "/v1/activities/{id}/explanation", "Why an activity has its amount",
		"Which level answered and which were passed over, the tier, and Total(after) − Total(before) = charge as an equation with the numbers in it. An adjustment is explained by "+
			"the definitions that caused it. What was recorded stands as it was recorded; the arithmetic is worked out again from the line's earlier usage in the report store and is left out, "+
			"with a note, where that does not come to it."),
		func(ctx context.Context, in *struct {
			ID      string `path:"id" doc:"of the activity: partition, offset and index, as lists of activities give it" example:"3-18231-0"`
			Account string `query:"account" doc:"who used: makes it faster to find"`
		}) (*body[invoicer.ChargeDetail], error) {
			return answer(s.chargeOf(ctx, in.ID, in.Account))
		})
	s.registerLinks()
	s.registerStream()
}

// chargeOf explains an activity to who may read its account. To a customer others' and unknown activities look alike.
func (s *Server) chargeOf(ctx context.Context, id, account string) (*invoicer.ChargeDetail, error) {
	if account != "" {
		if err := s.mayRead(ctx, account); err != nil {
			return nil, err
		}
	}
	detail, err := s.Invoices.Charge(ctx, id, account)
	if err != nil {
		return nil, err
	}
	if refused := s.mayRead(ctx, detail.Account); errors.Is(refused, ErrForbidden) {
		place, err := invoicer.ParsePlace(id)
		if err != nil {
			return nil, err
		}
		return nil, invoicer.NoSuchCharge(place)
	} else if refused != nil {
		return nil, refused
	}
	return detail, nil
}

// LinkRequest asks for a customer link.
type LinkRequest struct {
	ValidSeconds int64 `json:"valid_seconds,omitempty" minimum:"1" maximum:"7776000" doc:"default: 7 days"`
}

// Link is a customer link.
type Link struct {
	Account   string    `json:"account"`
	Path      string    `json:"path" doc:"path and query; put the address that your customers reach this server by before it"`
	URL       string    `json:"url" doc:"with the address that this request came to"`
	ExpiresAt time.Time `json:"expires_at"`
}

func (s *Server) registerLinks() {
	type input struct {
		ID   string `path:"id"`
		Body *LinkRequest
	}
	register(s, MakeLinks, huma.Operation{
		OperationID: "make-link", Method: http.MethodPost, Path: "/v1/accounts/{id}/links", Tags: []string{"access"},
		DefaultStatus: http.StatusCreated, Summary: "Makes a customer link: a signed, expiring address of one account's pages",
		Description: "Whoever has the link sees the account and those below it until it expires. It cannot be taken back one by one.",
		Errors:      []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
	}, func(ctx context.Context, in *input) (*body[Link], error) {
		if _, err := s.Invoices.Find(ctx, invoicer.Question{Account: in.ID}); err != nil {
			return nil, err
		}
		valid := LinkDefault
		if in.Body != nil && in.Body.ValidSeconds > 0 {
			valid = time.Duration(in.Body.ValidSeconds) * time.Second
		}
		path, expires, err := s.Access.Link(in.ID, valid)
		if err != nil {
			return nil, err
		}
		link := Link{Account: in.ID, Path: path, URL: s.addressOf(ctx) + path, ExpiresAt: expires.UTC()}
		return answer(&link, nil)
	})
}

// hostKey carries the address that a request came to.
type hostKey struct{}

// addressOf is the scheme and host that the client used, or the configured public address.
func (s *Server) addressOf(ctx context.Context) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	host, _ := ctx.Value(hostKey{}).(string)
	return "http://" + host
}
