package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tollstream/tollstream/invoicer"
)

// Problem is the answer to a request that failed (RFC 9457, application/problem+json).
type Problem struct {
	Type   string         `json:"type" example:"about:blank" doc:"what kind of problem; about:blank: what the status says"`
	Title  string         `json:"title" example:"Unprocessable Entity"`
	Status int            `json:"status" example:"422"`
	Detail string         `json:"detail,omitempty" doc:"what was wrong and what to do"`
	Errors []ProblemError `json:"errors,omitempty" doc:"each thing that is wrong, with its place"`

	headers http.Header
}

// ProblemError is one thing that is wrong with a request.
type ProblemError struct {
	Path    string `json:"path,omitempty" example:"products[0].rates[1].tiers" doc:"where in the document or the request"`
	Line    int    `json:"line,omitempty" example:"12" doc:"of the document, from 1"`
	Message string `json:"message"`
}

// Error is the detail. GetStatus, GetHeaders and ContentType are what huma asks.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are sent with the problem.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType is that of problems, whatever was negotiated for the answer.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// huma makes its own refusals (a missing parameter, a body that does not fit) with this hook; it is the
// library's only one and global, so it is set once, where the package starts.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		p := newProblem(status, detail)
		for _, err := range errs {
			if err == nil {
				continue
			}
			var d *huma.ErrorDetail
			if errors.As(err, &d) {
				if d.Location == "body" && isSyntax(d.Message) {
					p = newProblem(http.StatusBadRequest, "the body is not JSON")
				}
				p.Errors = append(p.Errors, ProblemError{Path: d.Location, Message: d.Message})
			} else {
				p.Errors = append(p.Errors, ProblemError{Message: err.Error()})
			}
		}
		return p
	}
}

// isSyntax tells a body that is not JSON, which huma answers like one that does not fit the schema, by encoding/json's words.
func isSyntax(message string) bool {
	return strings.HasPrefix(message, "invalid character") || strings.HasPrefix(message, "unexpected end of JSON")
}

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, headers: http.Header{}}
}

// statuses says what each kind of error means to a client.
var statuses = []struct {
	err    error
	status int
}{
	{ErrUnauthenticated, http.StatusUnauthorized},
	{ErrNotVerified, http.StatusUnauthorized},
	{ErrForbidden, http.StatusForbidden},
	{ErrNotFound, http.StatusNotFound},
	{invoicer.ErrAccountUnknown, http.StatusNotFound},
	{invoicer.ErrLineUnknown, http.StatusNotFound},
	{invoicer.ErrChargeUnknown, http.StatusNotFound},
	{invoicer.ErrProductUnknown, http.StatusUnprocessableEntity},
	{invoicer.ErrNoPrice, http.StatusUnprocessableEntity},
	{invoicer.ErrTooMuch, http.StatusRequestEntityTooLarge},
	{invoicer.ErrPeriodInvalid, http.StatusUnprocessableEntity},
	{ErrInvalid, http.StatusUnprocessableEntity},
	{ErrConflict, http.StatusConflict},
	{ErrMalformed, http.StatusBadRequest},
	{ErrTooLarge, http.StatusRequestEntityTooLarge},
	{ErrUnsupported, http.StatusUnsupportedMediaType},
	{ErrBackPressure, http.StatusTooManyRequests},
	{ErrUnavailable, http.StatusServiceUnavailable},
}

// problemOf turns an error into the answer; what is not the client's business is logged instead of shown.
func (s *Server) problemOf(err error) *Problem {
	var ready *Problem
	if errors.As(err, &ready) {
		return ready
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		err = ErrTooLarge
	}
	for _, known := range statuses {
		if errors.Is(err, known.err) {
			return s.knownProblem(known.status, err)
		}
	}
	// A store's connection that fails or takes too long, and a client that has gone, are nobody's bug.
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return s.knownProblem(http.StatusServiceUnavailable, err)
	}
	s.log.Error("request failed", slog.Any("error", err))
	s.metrics.errors.Inc()
	return newProblem(http.StatusInternalServerError, "this is our failure, not yours; the server's log has the reason")
}

func (s *Server) knownProblem(status int, err error) *Problem {
	p := newProblem(status, err.Error())
	if errors.Is(err, ErrNotVerified) {
		p.Detail = ErrNotVerified.Error() // whatever the reason was
	}
	var document DocumentErrors
	var pressure *BackPressure
	switch {
	case errors.As(err, &document):
		for _, e := range document {
			p.Errors = append(p.Errors, ProblemError(e))
		}
	case errors.As(err, &pressure):
		p.headers.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(pressure.RetryAfter.Seconds())))))
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		p.headers.Set("Retry-After", "1")
		if status == http.StatusServiceUnavailable {
			s.log.Warn("store does not answer", slog.Any("error", err))
			p.Detail = ErrUnavailable.Error()
		}
	case status == http.StatusUnauthorized && !errors.Is(err, ErrNotVerified):
		p.headers.Set("WWW-Authenticate", `Bearer realm="tollstream"`)
	}
	return p
}

// write sends the problem without huma.
func (p *Problem) write(w http.ResponseWriter) {
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone; nobody is left to tell
}
