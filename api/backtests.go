package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

func (s *Server) registerBacktests() {
	if s.Backtests == nil {
		return
	}
	document := &huma.Schema{Type: huma.TypeObject, Description: "a catalogue document: what it creates, updates and deletes is laid over the live catalogue, in memory"}
	s.raw(RunBacktests, huma.Operation{
		OperationID: "start-backtest", Method: http.MethodPost, Path: "/v1/backtests", Tags: []string{"reports"},
		Summary: "Rates stored usage again under a draft of the catalogue, and compares",
		Description: "The body is the draft. Nothing is changed. One runs at a time; the last ones are kept in the memory of the process that answers, " +
			"not over its end. Billing periods are read whole, so that tiers stand where they stood; what is reported is the usage inside the time asked for.",
		Parameters: []*huma.Param{
			queryParam("from", huma.TypeString, "date or instant, inclusive"), queryParam("to", huma.TypeString, "date or instant, exclusive"),
			queryParam("period", huma.TypeString, "a month, 2026-11, in place of from and to; default: the current one"),
			queryParam("account", huma.TypeString, "id of the account that used; default: all"),
			queryParam("time_zone", huma.TypeString, "of dates; default: UTC"),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: document}, "application/yaml": {Schema: &huma.Schema{Type: huma.TypeString}},
		}},
		Responses: s.jsonAnswer("202", "It runs", reflect.TypeFor[Backtest]()),
	}, s.fallible(s.startBacktest))
	operation := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: method, Path: path, Tags: []string{"reports"}, Summary: summary,
			Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
		}
	}
	register(s, RunBacktests, operation("list-backtests", http.MethodGet, "/v1/backtests", "The last backtests, newest first"),
		func(ctx context.Context, _ *struct{}) (*body[List[Backtest]], error) {
			all, err := s.Backtests.Backtests(ctx)
			list := listOf(all, "")
			return answer(&list, err)
		})
	register(s, RunBacktests, operation("get-backtest", http.MethodGet, "/v1/backtests/{id}", "A backtest: its state, how far it is, and its result"),
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[Backtest], error) {
			return answer(s.Backtests.Backtest(ctx, in.ID))
		})
	register(s, RunBacktests, operation("stop-backtest", http.MethodDelete, "/v1/backtests/{id}", "Stops a backtest that is running"),
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[Backtest], error) {
			return answer(s.Backtests.StopBacktest(ctx, in.ID))
		})
	rows := operation("backtest-rows", http.MethodGet, "/v1/backtests/{id}/rows", "What each account's usage of each product was and would have been charged")
	rows.Metadata, rows.Errors = map[string]any{csvCapable: true}, append(rows.Errors, http.StatusConflict)
	register(s, RunBacktests, rows, s.backtestRows)
	s.offerCSV(rows.Path)
}

func (s *Server) startBacktest(w http.ResponseWriter, r *http.Request) error {
	in := r.URL.Query()
	zone, err := zoneOf(in.Get("time_zone"))
	if err != nil {
		return err
	}
	q := BacktestQuery{Account: in.Get("account")}
	if q.From, q.To, err = s.span(in.Get("period"), in.Get("from"), in.Get("to"), zone); err != nil {
		return err
	}
	if q.Draft, err = readDocument(w, r, maxCatalogBytes, true); err != nil {
		return err
	}
	b, err := s.Backtests.StartBacktest(r.Context(), q)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/backtests/"+b.ID)
	writeJSON(w, http.StatusAccepted, b)
	return nil
}

func (s *Server) backtestRows(ctx context.Context, in *struct {
	ID     string `path:"id"`
	Cursor string `query:"cursor" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
	CSVParam
}) (*body[List[BacktestRow]], error) {
	var all []BacktestRow
	for cursor := in.Cursor; ; {
		rows, next, err := s.Backtests.BacktestRows(ctx, in.ID, cursor, in.Limit)
		if err != nil {
			return nil, fmt.Errorf("backtest %s: %w", in.ID, err)
		}
		all = append(all, rows...)
		if in.Format != "csv" || next == "" { // CSV comes whole
			list := listOf(all, next)
			return answer(&list, nil)
		}
		cursor = next
	}
}
