package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
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
