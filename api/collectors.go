package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/collector"
)

// maxCollectorBytes bounds a collector's configuration.
const maxCollectorBytes = 256 << 10

func (s *Server) registerCollectors() {
	if s.Collectors != nil {
		s.registerCollectorConfigs()
	}
	if s.Runs != nil {
		s.registerRuns()
	}
	if s.Control != nil {
		s.registerControl()
	}
	if s.Files == nil {
		return
	}
	s.raw(RunCollectors, huma.Operation{
		OperationID: "upload-file", Method: http.MethodPost, Path: "/v1/collectors/{name}/files", Tags: []string{"collectors"},
		Summary:     "Takes a file with usage, processed like any other file of the collector",
		Description: "A multipart upload; the part `file` is read as it arrives and never held whole. 200: the run is over; 202: the file is kept and the run goes on.",
		Parameters: []*huma.Param{
			pathParam("name", "name of the collector"), queryParam("backfill", huma.TypeBoolean, "old usage loaded on purpose"),
			queryParam("strict", huma.TypeBoolean, "a bad row fails the run"),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"file"}, Properties: map[string]*huma.Schema{"file": {Type: huma.TypeString, Format: "binary"}},
		}}}},
		Responses: s.jsonAnswer("200", "The run", reflect.TypeFor[Run]()),
	}, s.fallible(s.uploadFile))
}

func (s *Server) registerCollectorConfigs() {
	register(s, ReadOperations, huma.Operation{
		OperationID: "list-collectors", Method: http.MethodGet, Path: "/v1/collectors", Tags: []string{"collectors"}, Summary: "The collectors, by name",
	}, func(ctx context.Context, _ *struct{}) (*body[List[CollectorInfo]], error) {
		all, err := s.Collectors.Collectors(ctx)
		list := listOf(all, "")
		return answer(&list, err)
	})
	s.raw(WriteConfig, huma.Operation{
		OperationID: "put-collector", Method: http.MethodPut, Path: "/v1/collectors/{name}", Tags: []string{"collectors"},
		Summary:    "Creates or replaces a collector's configuration",
		Parameters: []*huma.Param{pathParam("name", "name of the collector, the default source of its events")},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, Description: "source, format, mapping, schedule"}},
			"application/yaml": {Schema: &huma.Schema{Type: huma.TypeString}},
		}},
		Responses: s.jsonAnswer("200", "The collector; 201 when it is new", reflect.TypeFor[CollectorInfo]()),
	}, s.fallible(func(w http.ResponseWriter, r *http.Request) error {
		d, err := readDocument(w, r, maxCollectorBytes, false)
		if err != nil {
			return err
		}
		info, created, err := s.Collectors.PutCollector(r.Context(), r.PathValue("name"), d)
		if err != nil {
			return err
		}
		status := http.StatusOK
		if created {
			status = http.StatusCreated
		}
		writeJSON(w, status, info)
		return nil
	}))
}

func (s *Server) registerRuns() {
	register(s, RunCollectors, huma.Operation{
		OperationID: "run-collector", Method: http.MethodPost, Path: "/v1/collectors/{name}/runs", Tags: []string{"collectors"},
		DefaultStatus: http.StatusAccepted, Summary: "Starts a run now",
		Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *struct {
		Name string `path:"name"`
	}) (*body[Run], error) {
		return answer(s.Runs.StartRun(ctx, in.Name))
	})
	register(s, ReadOperations, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/v1/collectors/{name}/runs", Tags: []string{"collectors"},
		Summary: "A collector's runs with counts and errors, newest first",
		Errors:  []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
	}, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Page
	}) (*body[List[Run]], error) {
		runs, next, err := s.Runs.Runs(ctx, in.Name, in.Cursor, in.Limit)
		list := listOf(runs, next)
		return answer(&list, err)
	})
}

func (s *Server) registerControl() {
	missing := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound}
	for verb, paused := range map[string]bool{"pause": true, "resume": false} {
		summary := "Goes on with a collector that was paused"
		if paused {
			summary = "Stops a collector at its checkpoints until it is resumed"
		}
		register(s, RunCollectors, huma.Operation{
			OperationID: verb + "-collector", Method: http.MethodPost, Path: "/v1/collectors/{name}/" + verb, Tags: []string{"collectors"}, Summary: summary, Errors: missing,
		}, func(ctx context.Context, in *struct {
			Name string `path:"name"`
		}) (*body[CollectorInfo], error) {
			return answer(s.Control.PauseCollector(ctx, in.Name, paused))
		})
	}
	register(s, ReadOperations, huma.Operation{
		OperationID: "list-passes", Method: http.MethodGet, Path: "/v1/collectors/{name}/passes", Tags: []string{"collectors"},
		Summary: "A collector's looks at its place, and what came of the files there, newest first", Errors: missing,
	}, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		Page
	}) (*body[List[collector.Pass]], error) {
		passes, next, err := s.Control.Passes(ctx, in.Name, in.Cursor, in.Limit)
		list := listOf(passes, next)
		return answer(&list, err)
	})
	register(s, ReadOperations, huma.Operation{
		OperationID: "list-run-errors", Method: http.MethodGet, Path: "/v1/collectors/{name}/runs/{id}/errors", Tags: []string{"collectors"},
		Summary: "The rows that a run did not send, with their text, in the file's order", Errors: missing, Metadata: map[string]any{csvCapable: true},
	}, func(ctx context.Context, in *struct {
		Name string `path:"name"`
		ID   int64  `path:"id" minimum:"1"`
		Page
		CSVParam
	}) (*body[List[collector.RowError]], error) {
		rows, next, err := s.Control.RunErrors(ctx, in.Name, in.ID, in.Cursor, in.Limit)
		list := listOf(rows, next)
		return answer(&list, err)
	})
	s.raw(RunCollectors, huma.Operation{
		OperationID: "test-collector", Method: http.MethodPost, Path: "/v1/collectors/{name}/test", Tags: []string{"collectors"},
		Summary:     "Shows what a file would be: the first events and every error",
		Description: "The body is the file. Nothing is sent and nothing stored.",
		Parameters:  []*huma.Param{pathParam("name", "name of the collector"), queryParam("file", huma.TypeString, "name of the file"), queryParam("limit", huma.TypeInteger, "events that are shown, 10 by itself, at most 1000")},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}},
		Responses:   s.jsonAnswer("200", "What the file would be", reflect.TypeFor[collector.Trial]()),
	}, s.fallible(s.testCollector))
}

// testCollector maps the body, read as patiently as an upload.
func (s *Server) testCollector(w http.ResponseWriter, r *http.Request) error {
	limit := 10
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > 1000 {
			return fmt.Errorf("%w: limit must be 0 to 1000", ErrInvalid)
		}
		limit = n
	}
	u := Upload{Collector: r.PathValue("name"), FileName: r.URL.Query().Get("file"), Body: &patientReader{r: r.Body, control: http.NewResponseController(w)}}
	trial, err := s.Control.TryCollector(r.Context(), u.Collector, u, limit)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, trial)
	return nil
}

// uploadFile hands the part `file` to the collector as it arrives. There is no bound on its size, but a client that sends
// nothing for a minute is given up.
func (s *Server) uploadFile(w http.ResponseWriter, r *http.Request) error {
	u := Upload{Collector: r.PathValue("name")}
	var err error
	if u.Backfill, err = boolQuery(r, "backfill"); err != nil {
		return err
	}
	if u.Strict, err = boolQuery(r, "strict"); err != nil {
		return err
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return fmt.Errorf("%w: send multipart/form-data with a part named file", ErrUnsupported)
	}
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the upload has no part named file", ErrMalformed)
		}
		if err != nil {
			return fmt.Errorf("%w: the upload is torn", ErrMalformed)
		}
		if part.FormName() != "file" {
			continue
		}
		if u.FileName = part.FileName(); u.FileName == "" {
			u.FileName = "upload"
		}
		u.Body = &patientReader{r: part, control: http.NewResponseController(w)}
		break
	}
	run, err := s.Files.UploadFile(r.Context(), u)
	if err != nil {
		return fmt.Errorf("collector %q, file %q: %w", u.Collector, u.FileName, err)
	}
	status := http.StatusOK
	if run.State == "running" {
		status = http.StatusAccepted
	}
	writeJSON(w, status, run)
	return nil
}

// patientReader moves the deadline on with every read: a long upload is fine, a stalled one is not.
type patientReader struct {
	r       io.Reader
	control *http.ResponseController
}

func (p *patientReader) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(time.Minute)) // not every connection has deadlines
	return p.r.Read(b)
}
