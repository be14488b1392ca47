package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
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
