package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/ledger/money"
)

// memoryReratings knows one job and remembers what was asked.
type memoryReratings struct{ asked api.RerateRequest }

func (m *memoryReratings) Rerate(_ context.Context, q api.RerateRequest) (*api.Rerating, error) {
	if m.asked = q; q.Account == "nobody" {
		return nil, api.ErrNotFound
	}
	return &api.Rerating{ID: 7, State: api.RerateRunning, Cause: "demand", Account: q.Account}, nil
}

func (m *memoryReratings) Rerating(_ context.Context, id int64) (*api.Rerating, error) {
	if id != 7 {
		return nil, fmt.Errorf("job: %w", api.ErrNotFound)
	}
	return &api.Rerating{ID: 7, State: api.RerateDone, Cause: "demand"}, nil
}

func (m *memoryReratings) Reratings(_ context.Context, q api.RerateQuery) ([]api.Rerating, string, error) {
	if q.Cursor == "9" {
		return nil, "", nil
	}
	return []api.Rerating{{ID: 9, State: api.RerateRunning, Cause: "definitions", By: "Anna", Definitions: []api.RerateDefinition{{Kind: "product", ID: "calls"}}}}, "9", nil
}

func (m *memoryReratings) RerateLines(_ context.Context, id int64, q api.RerateLinesQuery) ([]api.RerateLine, string, error) {
	if id != 7 {
		return nil, "", fmt.Errorf("job: %w", api.ErrNotFound)
	}
	l := api.RerateLine{Account: "acme", Product: "calls", Line: "l-1", Lines: 1, Currency: "EUR", Before: money.Fixed{Decimal: money.MustParse("2")},
		After: money.Fixed{Decimal: money.MustParse("3.5")}, Difference: money.Fixed{Decimal: money.MustParse("1.5")}}
	if q.By == "account" {
		l.Product, l.Line = "", ""
	}
	return []api.RerateLine{l}, "", nil
}

func (m *memoryReratings) RerateAccounts(_ context.Context, id int64, after string, limit int) ([]api.RerateAccount, string, error) {
	return []api.RerateAccount{{Account: fmt.Sprintf("%d behind %q, %d", id, after, limit), State: api.RerateFailed, Message: "given up: too many"}}, "", nil
}

func TestRerateJobs(t *testing.T) {
	o := build(t)
	for path, want := range map[string]string{
		"/v1/rerate":                             `{"data":[{"id":9,"state":"running","cause":"definitions","by":"Anna","created_at":"0001-01-01T00:00:00Z","definitions":[{"kind":"product","id":"calls"}],`,
		"/v1/rerate?cursor=9":                    `{"data":[],"next":null}`,
		"/v1/rerate/7/lines":                     `"product":"calls","package":null,"line":"l-1","lines":1,"currency":"EUR","before":"2.000000000000","after":"3.500000000000","difference":"1.500000000000"}],"next":null}`,
		"/v1/rerate/7/lines?by=account":          `{"data":[{"account":"acme","package":null,"lines":1,"currency":"EUR",`,
		"/v1/rerate/7/lines?format=csv":          "acme,,calls,,l-1,,1,EUR,2.000000000000,3.500000000000,1.500000000000\n",
		"/v1/rerate/7/accounts?cursor=a&limit=5": `{"account":"7 behind \"a\", 5","state":"failed","partition":0,"lines":0,"lines_changed":0,"message":"given up: too many"}`,
		"/v1/rerate/7/accounts?format=csv":       "failed,",
	} {
		if w := o.as(api.RoleAuditor, http.MethodGet, path, ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
	for path, want := range map[string]int{
		"/v1/rerate/8/lines": http.StatusNotFound, "/v1/rerate?state=odd": http.StatusUnprocessableEntity, "/v1/rerate/7/lines?by=week": http.StatusUnprocessableEntity,
	} {
		if w := o.as(api.RoleAuditor, http.MethodGet, path, ""); w.Code != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestRerate(t *testing.T) {
	o := build(t)
	for _, c := range []struct {
		body, want string
		status     int
	}{
		{`{"account": "acme", "product": "calls", "period": "2026-11-21", "dry_run": true}`, `"id":7`, http.StatusAccepted},
		{`{"account": "acme", "period": "2026-11-21T10:00:00Z"}`, `"state":"running"`, http.StatusAccepted},
		{`{"account": "acme", "period": "November"}`, `2026-11-21`, http.StatusUnprocessableEntity},
		{`{"account": "nobody"}`, `nobody`, http.StatusNotFound},
		{`{}`, `account`, http.StatusUnprocessableEntity},
		{`{"acount": "acme"}`, `acount`, http.StatusUnprocessableEntity},
	} {
		w := o.as(api.RoleSupport, http.MethodPost, "/v1/rerate", c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d with %s", c.body, w.Code, w.Body, c.status, c.want)
		}
	}
	o.as(api.RoleAdmin, http.MethodPost, "/v1/rerate", `{"account": "acme", "product": "calls", "period": "2026-11-21", "dry_run": true}`)
	if q := o.reratings.asked; q.Account != "acme" || q.Product != "calls" || !q.DryRun || !q.At.Equal(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("asked %+v", q)
	}
	if w := o.as(api.RoleFinance, http.MethodGet, "/v1/rerate/7", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"state":"done"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := o.as(api.RoleFinance, http.MethodGet, "/v1/rerate/8", ""); w.Code != http.StatusNotFound {
		t.Errorf("an unknown job: %d", w.Code)
	}
}
