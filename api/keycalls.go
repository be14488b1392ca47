package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
)

// KeyRequest asks for a key.
type KeyRequest struct {
	Name    string `json:"name" minLength:"1" maxLength:"200" doc:"whose it is; the default source of usage that it sends"`
	Role    Role   `json:"role" enum:"ingest,customer,support,finance,admin,auditor"`
	Account string `json:"account,omitempty" doc:"needed for the role customer"`
}

// NewKeyAnswer is a key with the token that is shown this once.
type NewKeyAnswer struct {
	Key
	Token string `json:"key" doc:"the key itself: it is shown this once and kept nowhere" example:"ts_1f0c9a2b77d40e15_…"`
}

func (s *Server) registerKeys() {
	if s.Keys == nil {
		return
	}
	register(s, WriteKeys, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", Tags: []string{"access"}, DefaultStatus: http.StatusCreated,
		Summary: "Makes an API key", Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *struct{ Body KeyRequest }) (*body[NewKeyAnswer], error) {
		k, token, err := NewKey(in.Body.Name, in.Body.Role, in.Body.Account, s.Now())
		if err != nil {
			return nil, err
		}
		if k.Account != "" && s.Invoices != nil {
			if _, err := s.Invoices.Find(ctx, invoicer.Question{Account: k.Account}); err != nil {
				return nil, err
			}
		}
		if _, err := s.Keys.CreateKey(ctx, k, false); err != nil {
			return nil, fmt.Errorf("create key: %w", err)
		}
		return answer(&NewKeyAnswer{Key: k, Token: token}, nil)
	})
	register(s, ReadKeys, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: []string{"access"}, Summary: "The keys, newest first, revoked ones too",
	}, func(ctx context.Context, in *Page) (*body[List[Key]], error) {
		keys, next, err := s.Keys.Keys(ctx, in.Cursor, in.Limit)
		list := listOf(keys, next)
		return answer(&list, err)
	})
	register(s, WriteKeys, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{id}", Tags: []string{"access"},
		Summary: "Revokes a key", Description: "At once in this process, within 5 seconds in others. It stays in the list.",
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		ID string `path:"id"`
	}) (*body[Key], error) {
		k, err := s.Keys.RevokeKey(ctx, in.ID, s.Now())
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", in.ID, err)
		}
		s.Access.keys.forget(k.Hash)
		return answer(&k, nil)
	})
}
