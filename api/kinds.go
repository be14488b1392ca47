package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/rater/catalog"
)

// kinds says where each kind of definition stands in the API and in a document.
var kinds = []struct {
	path, member, one string
	kind              catalog.Kind
}{
	{"/v1/products", "products", "product", catalog.KindProduct},
	{"/v1/rate-classes", "rate_classes", "rate class", catalog.KindRateClass},
	{"/v1/packages", "packages", "package", catalog.KindPackage},
	{"/v1/contracts", "contracts", "contract", catalog.KindContract},
	{"/v1/accounts", "accounts", "account", catalog.KindAccount},
}

// maxDefinitionBytes bounds one definition.
const maxDefinitionBytes = 1 << 20

func (s *Server) registerKinds() {
	if s.Kinds == nil {
		return
	}
	for _, k := range kinds {
		plural := strings.ReplaceAll(k.member, "_", "-")
		register(s, ReadCatalog, huma.Operation{
			OperationID: "list-" + plural, Method: http.MethodGet, Path: k.path, Tags: []string{"catalog"}, Summary: "Definitions of kind " + k.one + ", by id",
		}, func(ctx context.Context, in *Page) (*body[List[json.RawMessage]], error) {
			data, next, err := s.Kinds.Definitions(ctx, k.kind, in.Cursor, in.Limit)
			list := listOf(data, next)
			return answer(&list, err)
		})
		need := ReadCatalog
		if k.kind == catalog.KindAccount {
			need = ReadAccount
		}
		register(s, need, huma.Operation{
			OperationID: "get-" + strings.ReplaceAll(k.one, " ", "-"), Method: http.MethodGet, Path: k.path + "/{id}", Tags: []string{"catalog"},
			Summary: "One " + k.one + ", as a document has it", Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound},
		}, func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*body[json.RawMessage], error) {
			if k.kind == catalog.KindAccount {
				if err := s.mayRead(ctx, in.ID); err != nil {
					return nil, err
				}
			}
			definition, err := s.Kinds.Definition(ctx, k.kind, in.ID)
			if err != nil {
				return nil, fmt.Errorf("%s %q: %w", k.one, in.ID, err)
			}
			return answer(&definition, nil)
		})
		if s.Catalog != nil {
			s.registerKindWrites(k.path, k.member, k.one, k.kind)
		}
	}
}

// registerKindWrites adds changing one definition by itself. It is applied as a document that names nothing else.
func (s *Server) registerKindWrites(path, member, one string, kind catalog.Kind) {
	name := strings.ReplaceAll(one, " ", "-")
	s.raw(WriteCatalog, huma.Operation{
		OperationID: "put-" + name, Method: http.MethodPut, Path: path + "/{id}", Tags: []string{"catalog"},
		Summary:    "Creates or replaces one " + one,
		Parameters: []*huma.Param{pathParam("id", "id of the "+one), queryParam("dry_run", huma.TypeBoolean, "check and compare only")},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, Description: "as a document has it"}},
		}},
		Responses: s.jsonAnswer("200", "What changed", reflect.TypeFor[Applied]()),
	}, s.fallible(func(w http.ResponseWriter, r *http.Request) error {
		d, err := readDocument(w, r, maxDefinitionBytes, false)
		if err != nil {
			return err
		}
		if d.Body, err = within(member, r.PathValue("id"), d.Body); err != nil {
			return err
		}
		d.Format = FormatJSON
		return s.applyOne(w, r, d, member)
	}))
	s.raw(WriteCatalog, huma.Operation{
		OperationID: "delete-" + name, Method: http.MethodDelete, Path: path + "/{id}", Tags: []string{"catalog"},
		Summary:    "Removes one " + one + " that nothing uses",
		Parameters: []*huma.Param{pathParam("id", "id of the "+one), queryParam("dry_run", huma.TypeBoolean, "check only")},
		Responses:  s.jsonAnswer("200", "What changed", reflect.TypeFor[Applied]()),
	}, s.fallible(func(w http.ResponseWriter, r *http.Request) error {
		id, err := json.Marshal(r.PathValue("id"))
		if err != nil || !utf8.ValidString(r.PathValue("id")) {
			return fmt.Errorf("%w: the id in the address is not UTF-8", ErrMalformed)
		}
		text := `{"delete":[{"kind":"` + string(kind) + `","id":` + string(id) + `}]}`
		return s.applyOne(w, r, Document{Format: FormatJSON, Body: []byte(text), Actor: actorOf(r.Context())}, "delete")
	}))
}

// applyOne applies a document of one definition; paths of errors are told as seen from the definition.
func (s *Server) applyOne(w http.ResponseWriter, r *http.Request, d Document, member string) error {
	dryRun, err := boolQuery(r, "dry_run")
	if err != nil {
		return err
	}
	applied, err := s.Catalog.Apply(r.Context(), d, dryRun)
	if err != nil {
		return trimPaths(err, member+"[0]")
	}
	writeApplied(w, applied)
	return nil
}

// within puts a definition into a document without moving any of its lines, and its id in when it has none.
func within(member, id string, definition []byte) ([]byte, error) {
	var head map[string]json.RawMessage
	if err := json.Unmarshal(definition, &head); err != nil {
		return nil, fmt.Errorf("%w: the body is not a JSON object: %s", ErrMalformed, jsonPlace(definition, err))
	}
	if head == nil {
		return nil, fmt.Errorf("%w: the body is null, not a JSON object", ErrMalformed)
	}
	quoted, err := json.Marshal(id)
	if err != nil || !utf8.ValidString(id) {
		return nil, fmt.Errorf("%w: the id in the address is not UTF-8", ErrMalformed)
	}
	trimmed := bytes.TrimLeft(definition, " \t\r\n")
	lead := definition[:len(definition)-len(trimmed)]
	inner := trimmed[1:]
	if own, ok := head["id"]; ok {
		var named string
		if json.Unmarshal(own, &named) != nil || named != id {
			return nil, DocumentErrors{{Path: "id", Message: "the body names " + string(own) + ", the address " + string(quoted)}}
		}
	} else {
		comma := ","
		if len(head) == 0 {
			comma = ""
		}
		inner = append([]byte(`"id":`+string(quoted)+comma), inner...)
	}
	var out bytes.Buffer
	out.WriteString(`{"` + member + `":[`)
	out.Write(lead)
	out.WriteByte('{')
	out.Write(inner)
	out.WriteString("]}")
	return out.Bytes(), nil
}

// jsonPlace says in which line a JSON text stops being one.
func jsonPlace(text []byte, err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line := 1 + bytes.Count(text[:min(int(syntax.Offset), len(text))], []byte("\n"))
		return "line " + strconv.Itoa(line) + ": " + syntax.Error()
	}
	return "it is something else"
}

func trimPaths(err error, prefix string) error {
	var document DocumentErrors
	if !errors.As(err, &document) {
		return err
	}
	trimmed := make(DocumentErrors, len(document))
	for i, e := range document {
		e.Path = strings.TrimPrefix(strings.TrimPrefix(e.Path, prefix), ".")
		trimmed[i] = e
	}
	return trimmed
}
