package api

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/rater/catalog"
)

//go:embed static
var static embed.FS

var templates = template.Must(template.ParseFS(static, "static/*.html"))

const apiDescription = "Rating and billing of usage: send usage, watch invoices move, read reports. " +
	"Amounts and quantities are exact decimals in strings. Errors are application/problem+json (RFC 9457). " +
	"Lists are {\"data\": [...], \"next\": CURSOR}: hand next back as ?cursor= until it is null."

// document is what huma starts from; it adds every call and schema.
func (s *Server) document() huma.Config {
	version := s.Version
	if version == "" {
		version = "0.0.0"
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "tollstream", Version: version, Description: apiDescription,
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"key":     {Type: "http", Scheme: "bearer", Description: "An API key: Authorization: Bearer ts_…"},
					"session": {Type: "apiKey", In: "cookie", Name: operatorCookie, Description: "What /login or a customer link opens. Reads only; writing needs " + CSRFHeader + "."},
				},
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat, csvType: {Marshal: marshalCSV}},
		DefaultFormat: "application/json",
	}
}

// registerDocument serves the document and a page that shows it. Nothing of it comes from elsewhere.
func (s *Server) registerDocument() {
	spec := sync.OnceValues(func() ([]byte, error) { return json.Marshal(s.api.OpenAPI()) })
	page := sync.OnceValues(func() ([]byte, error) {
		text, err := spec()
		if err != nil {
			return nil, err
		}
		return renderDocs(text)
	})
	operation := func(id, path, summary, contentType string) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: http.MethodGet, Path: path, Tags: []string{"operations"}, Summary: summary, Responses: textAnswer(contentType),
		}
	}
	s.raw(SeePublic, operation("openapi", "/openapi.json", "This document, OpenAPI 3.1", "application/json"), s.embedded("application/json", spec))
	s.raw(SeePublic, operation("docs", "/docs", "This document as a page", "text/html"), s.embedded("text/html; charset=utf-8", page))
	s.raw(SeePublic, operation("catalog-schema", "/schemas/catalog.json", "JSON Schema (2020-12) of the catalogue document, for editors", "application/schema+json"),
		s.embedded("application/schema+json", func() ([]byte, error) { return catalog.Schema(), nil }))
	s.raw(SeePublic, operation("docs-style", "/docs/style.css", "Stylesheet of /docs and /login", "text/css"),
		s.embedded("text/css; charset=utf-8", func() ([]byte, error) { return static.ReadFile("static/style.css") }))
}

func (s *Server) embedded(contentType string, content func() ([]byte, error)) http.Handler {
	return s.fallible(func(w http.ResponseWriter, _ *http.Request) error {
		b, err := content()
		if err != nil {
			return err
		}
		securePage(w.Header())
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		_, err = w.Write(b)
		_ = err // the client is gone; nobody is left to tell
		return nil
	})
}

func securePage(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// The document as far as the page shows it.
type (
	specSchema struct {
		Ref         string                `json:"$ref"`
		Type        json.RawMessage       `json:"type"`
		Format      string                `json:"format"`
		Description string                `json:"description"`
		Items       *specSchema           `json:"items"`
		Properties  map[string]specSchema `json:"properties"`
		Required    []string              `json:"required"`
		OneOf       []specSchema          `json:"oneOf"`
	}
	specContent map[string]struct {
		Schema specSchema `json:"schema"`
	}
	specCall struct {
		ID          string   `json:"operationId"`
		Tags        []string `json:"tags"`
		Summary     string   `json:"summary"`
		Description string   `json:"description"`
		Permission  string   `json:"x-permission"`
		Parameters  []struct {
			Name, In, Description string
			Required              bool
			Schema                specSchema
		} `json:"parameters"`
		RequestBody struct{ Content specContent } `json:"requestBody"`
		Responses   map[string]struct {
			Description string
			Content     specContent
		} `json:"responses"`
	}
	spec struct {
		Info       struct{ Title, Version, Description string }
		Paths      map[string]map[string]specCall
		Components struct{ Schemas map[string]specSchema }
	}
)

// What the page's template shows.
type (
	docType   struct{ Before, Name, Ref, After string }
	docMember struct {
		Status, Name, In, Description string
		Required                      bool
		Type                          docType
	}
	docCall struct {
		specCall
		Method, Path            string
		Params, Bodies, Answers []docMember
	}
	docGroup struct {
		Name  string
		Calls []docCall
	}
	docSchema struct {
		Name, Description string
		Members           []docMember
	}
)

func renderDocs(text []byte) ([]byte, error) {
	var d spec
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	groups := map[string][]docCall{}
	for path, methods := range d.Paths {
		for method, call := range methods {
			name := "other"
			if len(call.Tags) > 0 {
				name = call.Tags[0]
			}
			groups[name] = append(groups[name], showCall(strings.ToUpper(method), path, call))
		}
	}
	page := struct {
		Title, Description string
		Groups             []docGroup
		Schemas            []docSchema
	}{Title: d.Info.Title + " " + d.Info.Version, Description: d.Info.Description}
	for _, name := range sortedKeys(groups) {
		calls := groups[name]
		slices.SortFunc(calls, func(a, b docCall) int { return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method)) })
		page.Groups = append(page.Groups, docGroup{name, calls})
	}
	for _, name := range sortedKeys(d.Components.Schemas) {
		s := d.Components.Schemas[name]
		shown := docSchema{Name: name, Description: s.Description}
		for _, member := range sortedKeys(s.Properties) {
			p := s.Properties[member]
			shown.Members = append(shown.Members, docMember{
				Name: member, Type: showType(p), Description: p.Description, Required: slices.Contains(s.Required, member),
			})
		}
		page.Schemas = append(page.Schemas, shown)
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "docs.html", page); err != nil {
		return nil, fmt.Errorf("render the documentation: %w", err)
	}
	return out.Bytes(), nil
}

func showCall(method, path string, call specCall) docCall {
	c := docCall{specCall: call, Method: method, Path: path}
	for _, p := range call.Parameters {
		c.Params = append(c.Params, docMember{Name: p.Name, In: p.In, Description: p.Description, Required: p.Required, Type: showType(p.Schema)})
	}
	for _, contentType := range sortedKeys(call.RequestBody.Content) {
		c.Bodies = append(c.Bodies, docMember{Name: contentType, Type: showType(call.RequestBody.Content[contentType].Schema)})
	}
	for _, status := range sortedKeys(call.Responses) {
		r := call.Responses[status]
		if len(r.Content) == 0 {
			c.Answers = append(c.Answers, docMember{Status: status, Description: r.Description})
		}
		for _, contentType := range sortedKeys(r.Content) {
			c.Answers = append(c.Answers, docMember{Status: status, Name: contentType, Type: showType(r.Content[contentType].Schema), Description: r.Description})
		}
	}
	return c
}

func showType(s specSchema) docType {
	if s.Ref != "" {
		return docType{Ref: s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]}
	}
	if s.Items != nil {
		t := showType(*s.Items)
		t.Before, t.After = "["+t.Before, t.After+"]"
		return t
	}
	if len(s.OneOf) > 0 {
		names := make([]string, 0, len(s.OneOf))
		for _, o := range s.OneOf {
			t := showType(o)
			names = append(names, t.Before+t.Name+t.Ref+t.After)
		}
		return docType{Name: strings.Join(names, " or ")}
	}
	var kinds []string
	var kind string
	if json.Unmarshal(s.Type, &kind) == nil {
		kinds = []string{kind}
	} else if json.Unmarshal(s.Type, &kinds) != nil {
		kinds = []string{"any"}
	}
	t := docType{Name: strings.Join(kinds, " or ")}
	if s.Format != "" {
		t.After = " (" + s.Format + ")"
	}
	return t
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// renderNotice shows a small page: a refusal, or the login form.
func renderNotice(w http.ResponseWriter, status int, n notice) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "login.html", n); err != nil {
		http.Error(w, n.Message, status)
		return
	}
	securePage(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.Copy(w, &out) // the client is gone; nobody is left to tell
}

type notice struct {
	Title, Message, Next string
	Form                 bool
}
