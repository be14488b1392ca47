package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

// guardPages lets people see the pages that are theirs: a customer's under /c/{account}, operators' under /ops.
func (s *Server) guardPages() http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			s.Pages.ServeHTTP(w, r)
			return
		}
		if handled, err := s.Access.openLink(w, r); handled {
			if err != nil {
				s.refusePage(w, r, err)
			}
			return
		}
		p, err := s.Access.Authenticate(r)
		if err == nil {
			err = s.permitPage(r, p)
		}
		if err != nil {
			s.refusePage(w, r, err)
			return
		}
		s.Pages.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
	})
	return s.metrics.watch("pages", true, guarded)
}

// permitPage decides by the path. A customer's pages are for reading; of the operators' the retry writes, and rating anew.
func (s *Server) permitPage(r *http.Request, p *Principal) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/c/"); ok {
		segment, _, _ := strings.Cut(rest, "/")
		account, err := url.PathUnescape(segment)
		if err != nil || account == "" || !reads {
			return fmt.Errorf("page %s: %w", r.URL.Path, ErrNotFound)
		}
		return s.Access.MayReadAccount(r.Context(), p, account)
	}
	need := ReadOperations
	switch {
	case reads:
	case strings.HasPrefix(r.URL.Path, "/ops/rerate"):
		need = Rerate
	default:
		need = RetryRejected
	}
	if !p.Allows(need) {
		return refusal(p, need)
	}
	return nil
}

// refusePage tells a person; programs that asked for JSON or CSV get the problem.
func (s *Server) refusePage(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(err)
	if format := r.URL.Query().Get("format"); format != "" || strings.Contains(r.Header.Get("Accept"), "application/json") ||
		strings.HasSuffix(r.URL.Path, "/stream") {
		p.write(w)
		return
	}
	n := notice{Title: "Not allowed", Message: p.Detail}
	switch {
	case p.Status == http.StatusUnauthorized && strings.HasPrefix(r.URL.Path, "/ops"):
		if r.Method == http.MethodGet {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		n = notice{Title: "Log in", Message: "Log in first.", Form: true, Next: "/ops"}
	case p.Status == http.StatusUnauthorized:
		n = notice{Title: "Open your link again", Message: "This page is opened by the link that you were sent. It may have expired: then ask for a new one."}
	case p.Status >= http.StatusInternalServerError:
		n.Title = "Something failed"
	case p.Status == http.StatusNotFound:
		n.Title = "Not found"
	}
	renderNotice(w, p.Status, n)
}

// registerLogin adds the session of people who hold a key.
func (s *Server) registerLogin() {
	html := func() map[string]*huma.Response { return textAnswer("text/html") }
	s.raw(SeePublic, huma.Operation{
		OperationID: "login-form", Method: http.MethodGet, Path: "/login", Tags: []string{"access"}, Summary: "The page that asks for a key",
		Responses: html(), Parameters: []*huma.Param{queryParam("next", huma.TypeString, "page to go to")},
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		renderNotice(w, http.StatusOK, notice{Title: "Log in", Form: true, Next: localPath(r.URL.Query().Get("next"))})
	}))
	s.raw(SeePublic, huma.Operation{
		OperationID: "login", Method: http.MethodPost, Path: "/login", Tags: []string{"access"},
		Summary: "Opens a session for the holder of a key", Description: "Sets an HttpOnly cookie for 12 hours.",
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"key"},
			Properties: map[string]*huma.Schema{"key": {Type: huma.TypeString}, "next": {Type: huma.TypeString}},
		}}}},
		Responses: map[string]*huma.Response{"303": {Description: "Logged in"}, "401": {Description: "The key is not valid"}},
	}, http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.logIn)))
	s.raw(SeePublic, huma.Operation{
		OperationID: "logout", Method: http.MethodPost, Path: "/logout", Tags: []string{"access"}, Summary: "Ends the browser's sessions",
		Responses: map[string]*huma.Response{"303": {Description: "Logged out"}},
	}, http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Access.LogOut(w)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	})))
}

// maxFormBytes bounds what a form may send.
const maxFormBytes = 16 << 10

func (s *Server) logIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	next := localPath(r.PostFormValue("next"))
	_, err := s.Access.LogIn(r.Context(), w, r.PostFormValue("key"))
	switch {
	case errors.Is(err, ErrUnauthenticated):
		renderNotice(w, http.StatusUnauthorized, notice{Title: "Log in", Message: "This key is not valid.", Form: true, Next: next})
	case err != nil:
		renderNotice(w, s.problemOf(err).Status, notice{Title: "Log in", Message: "That did not work; try again.", Form: true, Next: next})
	default:
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

// localPath keeps a redirect on this server.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsFunc(next, odd) {
		return "/ops"
	}
	return next
}

// odd characters are read differently by browsers than by net/url, or not at all.
func odd(c rune) bool { return c == '\\' || unicode.IsControl(c) }
