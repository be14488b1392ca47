package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Bounds of a catalogue document.
const (
	maxCatalogBytes = 64 << 20
	catalogTimeout  = 2 * time.Minute // to receive one
)

func (s *Server) registerCatalog() {
	if s.Catalog == nil {
		return
	}
	document := &huma.Schema{Type: huma.TypeObject, Description: "currency, seller, products, rate_classes, packages, accounts, contracts, exchange_rates, delete"}
	both := map[string]*huma.MediaType{"application/json": {Schema: document}, "application/yaml": {Schema: &huma.Schema{Type: huma.TypeString}}}
	s.raw(WriteCatalog, huma.Operation{
		OperationID: "apply-catalog", Method: http.MethodPut, Path: "/v1/catalog", Tags: []string{"catalog"},
		Summary: "Creates and updates what the document names",
		Description: "All or nothing, and idempotent. `delete: [{kind, id}]` removes. Usage that is accepted after the answer is priced under it. " +
			"With dry_run=true the answer says what would change, what that means for prices and how many accounts it concerns, and nothing is written.",
		Parameters:  []*huma.Param{queryParam("dry_run", huma.TypeBoolean, "check and compare only")},
		RequestBody: &huma.RequestBody{Required: true, Content: both},
		Responses:   s.jsonAnswer("200", "What changed", reflect.TypeFor[Applied]()),
	}, s.fallible(s.putCatalog))
	s.raw(ReadCatalog, huma.Operation{
		OperationID: "export-catalog", Method: http.MethodGet, Path: "/v1/catalog", Tags: []string{"catalog"},
		Summary:    "The whole catalogue as one document that PUT takes",
		Parameters: []*huma.Param{queryParam("format", huma.TypeString, "json (default) or yaml; or by Accept")},
		Responses:  map[string]*huma.Response{"200": {Description: "OK", Content: both}},
	}, s.fallible(s.getCatalog))
}

func (s *Server) putCatalog(w http.ResponseWriter, r *http.Request) error {
	dryRun, err := boolQuery(r, "dry_run")
	if err != nil {
		return err
	}
	document, err := readDocument(w, r, maxCatalogBytes)
	if err != nil {
		return err
	}
	applied, err := s.Catalog.Apply(r.Context(), document, dryRun)
	if err != nil {
		return err
	}
	writeApplied(w, applied)
	return nil
}

func writeApplied(w http.ResponseWriter, applied *Applied) {
	if applied.Changes == nil {
		applied.Changes = []Change{}
	}
	writeJSON(w, http.StatusOK, applied)
}

// readDocument reads a whole body whose content type says whether it is YAML or JSON. Without one it is YAML, of which JSON is a part.
func readDocument(w http.ResponseWriter, r *http.Request, limit int64) (Document, error) {
	d := Document{Format: FormatYAML, Actor: actorOf(r.Context())}
	if header := r.Header.Get("Content-Type"); header != "" {
		kind, _, err := mime.ParseMediaType(header)
		switch {
		case err != nil:
			return d, fmt.Errorf("%w: content type %q cannot be read", ErrUnsupported, header)
		case kind == "application/json":
			d.Format = FormatJSON
		case kind == "application/yaml" || kind == "application/x-yaml" || kind == "text/yaml" || kind == "text/x-yaml":
		case kind == "application/x-www-form-urlencoded" || kind == "text/plain": // what curl sends when nothing is said
		default:
			return d, fmt.Errorf("%w: %q; send application/json or application/yaml", ErrUnsupported, kind)
		}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(catalogTimeout)) // not every connection has deadlines
	var err error
	if d.Body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return d, fmt.Errorf("%w: at most %d bytes are taken", ErrTooLarge, limit)
		}
		return d, fmt.Errorf("%w: the body could not be read to its end", ErrMalformed)
	}
	if len(strings.TrimSpace(string(d.Body[:min(len(d.Body), 4096)]))) == 0 {
		return d, fmt.Errorf("%w: the body is empty", ErrMalformed)
	}
	return d, nil
}

// actorOf is who the audit names.
func actorOf(ctx context.Context) string {
	p := PrincipalOf(ctx)
	if p == nil {
		return ""
	}
	return p.Name + " (" + p.KeyID + ")"
}

func (s *Server) getCatalog(w http.ResponseWriter, r *http.Request) error {
	format := FormatJSON
	contentType := "application/json"
	asked := r.URL.Query().Get("format")
	if asked == "yaml" || (asked == "" && strings.Contains(r.Header.Get("Accept"), "yaml")) {
		format, contentType = FormatYAML, "application/yaml"
	} else if asked != "" && asked != "json" {
		return fmt.Errorf("%w: format %q is neither json nor yaml", ErrInvalid, asked)
	}
	text, err := s.Catalog.Export(r.Context(), format)
	if err != nil {
		return fmt.Errorf("export the catalogue: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // the client is gone; nobody is left to tell
	return nil
}
