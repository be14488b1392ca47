package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/ledger/money"
)

// memoryBacktests is one backtest of three rows, handed out two a page.
type memoryBacktests struct {
	asked api.BacktestQuery
	err   error
}

func (m *memoryBacktests) one() *api.Backtest {
	percent := money.MustParse("-28")
	row := api.BacktestRow{Currency: "USD", Events: 2, Before: money.Fixed{Decimal: money.MustParse("12.5")}, After: money.Fixed{Decimal: money.MustParse("9")}, Percent: &percent}
	return &api.Backtest{ID: "b-1", State: api.BacktestDone, From: m.asked.From, To: m.asked.To, Result: &api.BacktestResult{Rows: 3, Totals: []api.BacktestRow{row}, Notes: []string{"usage only"}}}
}

func (m *memoryBacktests) StartBacktest(_ context.Context, q api.BacktestQuery) (*api.Backtest, error) {
	if m.asked = q; m.err != nil {
		return nil, m.err
	}
	return &api.Backtest{ID: "b-1", State: api.BacktestRunning, From: q.From, To: q.To}, nil
}

func (m *memoryBacktests) Backtests(context.Context) ([]api.Backtest, error) {
	return []api.Backtest{*m.one()}, m.err
}

func (m *memoryBacktests) Backtest(_ context.Context, id string) (*api.Backtest, error) {
	if id != "b-1" {
		return nil, fmt.Errorf("backtest %q: %w", id, api.ErrNotFound)
	}
	return m.one(), m.err
}

func (m *memoryBacktests) StopBacktest(ctx context.Context, id string) (*api.Backtest, error) {
	return m.Backtest(ctx, id)
}

func (m *memoryBacktests) BacktestRows(_ context.Context, id, cursor string, limit int) (rows []api.BacktestRow, next string, err error) {
	if id != "b-1" {
		return nil, "", fmt.Errorf("%w: it runs", api.ErrConflict)
	}
	from, _ := strconv.Atoi(cursor)
	to := min(from+min(limit, 2), 3)
	for i := from; i < to; i++ {
		rows = append(rows, api.BacktestRow{Account: fmt.Sprint("a-", i), Product: "calls", Currency: "USD", Before: money.Fixed{Decimal: money.MustParse("0.5")}})
	}
	if to < 3 {
		next = strconv.Itoa(to)
	}
	return rows, next, nil
}

func TestBacktests(t *testing.T) {
	o := build(t)
	draft := "products: [{id: api-calls}]"
	start := "/v1/backtests?from=2026-10-01&to=2026-11-01&account=acme&time_zone=Europe/Berlin"
	w := o.as(api.RoleFinance, http.MethodPost, start, draft)
	o.want(w, http.StatusAccepted, `"id":"b-1"`, `"state":"running"`, `"from":"2026-10-01T00:00:00+02:00"`, `"to":"2026-11-01T00:00:00+01:00"`)
	if q := o.backtests.asked; string(q.Draft.Body) != draft || q.Account != "acme" || w.Header().Get("Location") != "/v1/backtests/b-1" {
		t.Errorf("asked %+v, %v", q, w.Header())
	}
	for target, want := range map[string]string{
		"/v1/backtests?from=2026-11-01&to=2026-10-01":                   "is not before to",
		"/v1/backtests?from=2026-11-01":                                 "both from and to",
		"/v1/backtests?from=x&to=2026-10-01":                            "neither a date",
		"/v1/backtests?from=2026-10-01&to=2026-11-01&time_zone=Nowhere": "time zone",
	} {
		o.want(o.as(api.RoleAdmin, http.MethodPost, target, draft), http.StatusUnprocessableEntity, want)
	}
	o.want(o.as(api.RoleAdmin, http.MethodPost, start, " "), http.StatusBadRequest)
	o.backtests.err = api.DocumentErrors{{Path: "products[0].rates", Line: 1, Message: "is missing"}}
	o.want(o.as(api.RoleAdmin, http.MethodPost, start, draft), http.StatusUnprocessableEntity, `"path":"products[0].rates"`, `"line":1`)
	o.backtests.err = fmt.Errorf("%w: the backtest b-0 is running", api.ErrConflict)
	o.want(o.as(api.RoleAdmin, http.MethodPost, start, draft), http.StatusConflict, "b-0 is running")
	o.backtests.err = nil
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests", ""), http.StatusOK, `"data":[{"id":"b-1"`, `"next":null`)
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests/b-1", ""), http.StatusOK, `"before":"12.500000000000"`, `"after":"9.000000000000"`, `"percent":"-28"`, `"notes":["usage only"]`)
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests/b-2", ""), http.StatusNotFound, "b-2")
	o.want(o.as(api.RoleAuditor, http.MethodDelete, "/v1/backtests/b-1", ""), http.StatusOK)
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests/b-1/rows", ""), http.StatusOK, `"account":"a-0"`, `"account":"a-1"`, `"next":"2"`)
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests/b-1/rows?cursor=2", ""), http.StatusOK, `"account":"a-2"`, `"next":null`)
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests/b-2/rows", ""), http.StatusConflict)
	csv := o.as(api.RoleAuditor, http.MethodGet, "/v1/backtests/b-1/rows?format=csv", "").Body.String()
	lines := strings.Split(strings.TrimSpace(csv), "\n")
	if len(lines) != 4 || lines[0] != "account,product,currency,events,before,after,difference,percent,unrated,unrated_before" || !strings.HasPrefix(lines[3], "a-2,calls,USD,0,0.500000000000,0.000000000000,") {
		t.Errorf("CSV:\n%s", csv)
	}
}
