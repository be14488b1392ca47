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
	forms := map[string]*huma.MediaType{
		"application/json": {Schema: document}, "application/yaml": {Schema: &huma.Schema{Type: huma.TypeString}},
		csvType: {Schema: &huma.Schema{Type: huma.TypeString}}, xlsxType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
	}
	s.raw(WriteCatalog, huma.Operation{
		OperationID: "apply-catalog", Method: http.MethodPut, Path: "/v1/catalog", Tags: []string{"catalog"},
		Summary: "Creates and updates what the document names",
		Description: "All or nothing, and idempotent. `delete: [{kind, id}]` removes. Usage that is accepted after the answer is priced under it. " +
			"With dry_run=true the answer says what would change, what that means for prices and how many accounts it concerns, and nothing is written. " +
			"A CSV or XLSX file is a price list: the rates of each product at a level that it names are replaced by its own, all else stays.",
		Parameters:  []*huma.Param{queryParam("dry_run", huma.TypeBoolean, "check and compare only")},
		RequestBody: &huma.RequestBody{Required: true, Content: forms},
		Responses:   s.jsonAnswer("200", "What changed", reflect.TypeFor[Applied]()),
	}, s.fallible(s.putCatalog))
	s.raw(ReadCatalog, huma.Operation{
		OperationID: "export-catalog", Method: http.MethodGet, Path: "/v1/catalog", Tags: []string{"catalog"},
		Summary:    "The whole catalogue as one document that PUT takes, or all its prices as a list",
		Parameters: []*huma.Param{queryParam("format", huma.TypeString, "json (default) or yaml, or csv or xlsx for the prices; or by Accept")},
		Responses:  map[string]*huma.Response{"200": {Description: "OK", Content: forms}},
	}, s.fallible(s.getCatalog))
}

func (s *Server) putCatalog(w http.ResponseWriter, r *http.Request) error {
	dryRun, err := boolQuery(r, "dry_run")
	if err != nil {
		return err
	}
	document, err := readDocument(w, r, maxCatalogBytes, true)
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

// xlsxType is the media type of spreadsheets.
const xlsxType = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

// readDocument reads a whole body whose content type says whether it is YAML or JSON or, where it may be, a price list. Without one it is
// YAML, of which JSON is a part.
func readDocument(w http.ResponseWriter, r *http.Request, limit int64, prices bool) (Document, error) {
	d := Document{Format: FormatYAML, Actor: actorOf(r.Context())}
	if header := r.Header.Get("Content-Type"); header != "" {
		kind, _, err := mime.ParseMediaType(header)
		switch {
		case err != nil:
			return d, fmt.Errorf("%w: content type %q cannot be read", ErrUnsupported, header)
		case kind == "application/json":
			d.Format = FormatJSON
		case kind == "application/yaml" || kind == "application/x-yaml" || kind == "text/yaml" || kind == "text/x-yaml":
		case kind == csvType && prices:
			d.Format = FormatCSV
		case kind == xlsxType && prices:
			d.Format = FormatXLSX
		case kind == "application/x-www-form-urlencoded" || kind == "text/plain": // what curl sends when nothing is said
		case prices:
			return d, fmt.Errorf("%w: %q; send application/json or application/yaml, or a price list as %s or %s", ErrUnsupported, kind, csvType, xlsxType)
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

// exportTypes are the media types of an export's forms.
var exportTypes = map[Format]string{FormatJSON: "application/json", FormatYAML: "application/yaml", FormatCSV: csvType, FormatXLSX: xlsxType}

func (s *Server) getCatalog(w http.ResponseWriter, r *http.Request) error {
	format, asked := FormatJSON, r.URL.Query().Get("format")
	if exportTypes[Format(asked)] != "" {
		format = Format(asked)
	} else if accept := r.Header.Get("Accept"); !strings.Contains(accept, "json") {
		for _, f := range []Format{FormatXLSX, FormatCSV, FormatYAML} {
			if kind := exportTypes[f]; strings.Contains(accept, kind[strings.IndexByte(kind, '/')+1:]) {
				format = f
			}
		}
	}
	if asked != "" && exportTypes[Format(asked)] == "" {
		return fmt.Errorf("%w: format %q is none of json, yaml, csv, xlsx", ErrInvalid, asked)
	}
	text, err := s.Catalog.Export(r.Context(), format)
	if err != nil {
		return fmt.Errorf("export the catalogue: %w", err)
	}
	w.Header().Set("Content-Type", exportTypes[format])
	if format == FormatCSV || format == FormatXLSX {
		w.Header().Set("Content-Disposition", `attachment; filename="prices.`+string(format)+`"`)
	}
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // the client is gone; nobody is left to tell
	return nil
}
