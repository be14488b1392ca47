package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
)

func (s *Server) registerRate() {
	if s.Invoices == nil || s.Parser == nil {
		return
	}
	type input struct {
		RawBody []byte
		Body    UsageEvent
	}
	register(s, ReadAccount, huma.Operation{
		OperationID: "rate-event", Method: http.MethodPost, Path: "/v1/rate", Tags: []string{"usage"},
		Summary:     "What a usage event would cost on its account's current line, and why",
		Description: "Nothing is recorded. The line is taken as it stands, priced under the newest definitions.",
		// The event is read by the same parser as sent usage, which takes numbers in strings and as numbers, and says what is wrong by the same words.
		SkipValidateBody: true, MaxBodyBytes: maxEventBody,
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *input) (*body[invoicer.Quote], error) {
		e, err := s.Parser.ParseEvent(in.RawBody)
		if err != nil {
			return nil, fmt.Errorf("usage event: %w", err)
		}
		quote, err := s.Invoices.Quote(ctx, e)
		if PrincipalOf(ctx).Role != RoleCustomer {
			return answer(quote, err)
		}
		// A customer may name its account by an identifier, so what was found is checked; not found and not its own look alike.
		account := e.Account
		if quote != nil {
			account = quote.Account
		}
		if err := s.mayRead(ctx, account); err != nil {
			return nil, err
		}
		return answer(quote, err)
	})
}

// maxEventBody bounds the body of one event.
const maxEventBody = 64 << 10
