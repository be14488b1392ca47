package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// List is the shape of every list.
type List[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next" doc:"cursor of the next page; null: this is the last"`
}

func listOf[T any](data []T, next string) List[T] {
	if data == nil {
		data = []T{}
	}
	return List[T]{Data: data, Next: cursorOf(next)}
}

func cursorOf(next string) *string {
	if next == "" {
		return nil
	}
	return &next
}

// Page is what every list takes.
type Page struct {
	Cursor string `query:"cursor" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// body is an answer that is a document.
type body[T any] struct{ Body T }

func answer[T any](v *T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{Body: *v}, nil
}

// routeMux is the mux as huma sees it: each pattern is measured under its own name.
type routeMux struct{ s *Server }

func (m routeMux) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	_, path, _ := strings.Cut(pattern, " ")
	m.s.mux.Handle(pattern, m.s.metrics.watch(path, false, http.HandlerFunc(handler)))
}

func (m routeMux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.s.mux.ServeHTTP(w, r) }

// register adds a call that huma reads and writes.
func register[I, O any](s *Server, need Permission, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.Security = securityOf(need)
	op.Middlewares = append(op.Middlewares, s.authorize(need))
	if len(op.Errors) == 0 && need != SeePublic {
		op.Errors = []int{http.StatusUnauthorized, http.StatusForbidden}
	}
	op.Extensions = map[string]any{"x-permission": string(need)}
	s.routes = append(s.routes, Route{Method: op.Method, Path: op.Path, ID: op.OperationID, Need: need})
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.problemOf(err)
		}
		return out, nil
	})
}

// raw adds a call whose body or answer huma must not touch: streams, uploads, documents in several formats.
func (s *Server) raw(need Permission, op huma.Operation, handler http.Handler) {
	op.Security = securityOf(need)
	op.Extensions = map[string]any{"x-permission": string(need)}
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	problem := s.schema(reflect.TypeFor[Problem]())
	op.Responses["default"] = &huma.Response{
		Description: "Error", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: problem}},
	}
	s.routes = append(s.routes, Route{Method: op.Method, Path: op.Path, ID: op.OperationID, Need: need})
	s.api.OpenAPI().AddOperation(&op)
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := s.permit(r, need)
		if err != nil {
			s.problemOf(err).write(w)
			return
		}
		handler.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
	})
	s.mux.Handle(op.Method+" "+op.Path, s.metrics.watch(op.Path, strings.HasSuffix(op.Path, "/stream"), guarded))
}

// fallible is a raw handler that may fail before it has written anything.
func (s *Server) fallible(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			s.problemOf(err).write(w)
		}
	})
}

// permit finds out who calls and refuses those who may not. A session writes only with its CSRF token.
func (s *Server) permit(r *http.Request, need Permission) (*Principal, error) {
	if need == SeePublic {
		return nil, nil
	}
	p, err := s.Access.Authenticate(r)
	if err != nil {
		return nil, err
	}
	if !p.Allows(need) {
		return nil, refusal(p, need)
	}
	if p.Session && r.Method != http.MethodGet && r.Method != http.MethodHead && !s.Access.CheckCSRF(r, r.Header.Get(CSRFHeader)) {
		return nil, newProblem(http.StatusForbidden, "a session writes with the "+CSRFHeader+" header only; programs use an API key")
	}
	return p, nil
}

// authorize is permit for huma; it also settles in which format the answer goes out.
func (s *Server) authorize(need Permission) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		p, err := s.permit(r, need)
		if err != nil {
			s.problemOf(err).write(w)
			return
		}
		accept := "application/json"
		if ctx.Operation().Metadata[csvCapable] != nil && wantsCSV(r) {
			accept = csvType
		}
		r.Header.Set("Accept", accept)
		ctx.SetHeader("Cache-Control", "no-store")
		next(huma.WithContext(ctx, context.WithValue(WithPrincipal(ctx.Context(), p), hostKey{}, r.Host)))
	}
}

func securityOf(need Permission) []map[string][]string {
	if need == SeePublic {
		return []map[string][]string{}
	}
	return []map[string][]string{{"key": {}}, {"session": {}}}
}

func (s *Server) schema(t reflect.Type) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// jsonAnswer documents an answer of a raw call.
func (s *Server) jsonAnswer(status, description string, t reflect.Type) map[string]*huma.Response {
	return map[string]*huma.Response{status: {
		Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: s.schema(t)}},
	}}
}

func textAnswer(types ...string) map[string]*huma.Response {
	content := make(map[string]*huma.MediaType, len(types))
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return map[string]*huma.Response{"200": {Description: "OK", Content: content}}
}

func pathParam(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
}

func queryParam(name, kind, description string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: kind}}
}

// writeJSON sends a document from a raw handler.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the client is gone; nobody is left to tell
}
