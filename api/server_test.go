package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
)

func TestCurrentInvoice(t *testing.T) {
	o := build(t)
	o.world.Use("acme", "api-calls", "150", noon)
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/invoice", ""), http.StatusOK,
		`"account":"acme"`, `"state":"CURRENT"`, `"currency":"USD"`, `"period":{"start":"2026-11-01T00:00:00+01:00","end":"2026-12-01T00:00:00+01:00"}`,
		`"total":"12.500000000000"`, `"usage_account":"acme"`, `"package":null,"attributes":{},"quantity":"150","events":1,"amount":"12.500000000000"`,
		`"rate":{"level":"product_default","id":`, `"rated_through":"2026-11-21T11:00:00Z"`)
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/invoice?period=2026-10-31", ""), http.StatusOK, `"lines":[]`)
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/invoice?period=soon", ""), http.StatusUnprocessableEntity, "period is neither")
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/prices", ""), http.StatusOK, `{"data":[{"product":"api-calls"`, `"unit_price":"0.1"`)
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/children", ""), http.StatusOK, `"account":"lab"`, `"billed_account":"acme"`)
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/lines/00", ""), http.StatusNotFound)
	o.world.Err = &net.OpError{Op: "dial", Err: errors.New("10.0.0.5: connection refused")}
	if w := o.as(api.RoleSupport, http.MethodGet, "/v1/accounts/other/invoice", ""); w.Code != 503 || strings.Contains(w.Body.String(), "10.0.0.5") || w.Header().Get("Retry-After") == "" {
		t.Errorf("a store that is away: %d %s", w.Code, w.Body)
	}
	o.world.Err = errors.New("secret of a store")
	if w := o.as(api.RoleSupport, http.MethodGet, "/v1/accounts/other/invoice", ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a store's failure: %d %s", w.Code, w.Body)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	o := build(t)
	o.want(o.do("", http.MethodGet, "/v1/nothing", ""), http.StatusNotFound, "/v1/nothing")
	if w := o.do("", http.MethodGet, "/", ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/ops" {
		t.Errorf("the root leads to %d %s, want the operators' page", w.Code, w.Header().Get("Location"))
	}
	w := o.do("", http.MethodDelete, "/v1/usage", "")
	if o.want(w, http.StatusMethodNotAllowed, "DELETE"); w.Header().Get("Allow") != "POST" {
		t.Errorf("Allow %q", w.Header().Get("Allow"))
	}
}

func TestAProcessServesOnlyWhatItHas(t *testing.T) {
	o := build(t, func(c *api.Config) { c.Usage, c.Catalog, c.Reports, c.Watcher, c.Activities = nil, nil, nil, nil, nil })
	for _, route := range o.server.Routes() {
		if strings.HasPrefix(route.Path, "/v1/usage") || strings.HasPrefix(route.Path, "/v1/catalog") || strings.HasSuffix(route.Path, "/stream") {
			t.Errorf("route %s without what answers it", route.Path)
		}
	}
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/usage", "{}"), http.StatusNotFound)
}

func TestAPanicIsAnAnswer(t *testing.T) {
	o := build(t, func(c *api.Config) {
		c.Pages = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") })
	})
	w := o.do("", http.MethodGet, "/assets/x", "")
	if o.want(w, http.StatusInternalServerError); strings.Contains(w.Body.String(), "secret") {
		t.Error(w.Body)
	}
}

func TestHealthAndReadiness(t *testing.T) {
	o := build(t)
	o.want(o.do("", http.MethodGet, "/healthz", ""), http.StatusOK, `"status":"ok"`)
	o.want(o.do("", http.MethodGet, "/readyz", ""), http.StatusOK, `"postgres":{"ready":true}`)
	o.stores.err = errors.New("dial tcp 10.0.0.5: connection refused")
	w := o.do("", http.MethodGet, "/readyz", "")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"ready":false,"message":"does not answer"`) || strings.Contains(w.Body.String(), "10.0.0.5") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	o.stores.err = nil
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/operations/status", ""), http.StatusOK, `"name":"rater"`, `"received":3`)
}

// The document says OpenAPI 3.1, holds every route, and nothing in it is loose: references resolve, path members are
// declared, ids are unique, types exist.
func TestDocumentIsWholeAndHoldsEveryRoute(t *testing.T) {
	o := build(t)
	w := o.do("", http.MethodGet, "/openapi.json", "")
	o.want(w, http.StatusOK)
	var d struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Paths      map[string]map[string]map[string]any
		Components struct {
			Schemas         map[string]any
			SecuritySchemes map[string]any
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Title == "" || d.Info.Version != "1.2.3" {
		t.Errorf("head: %q %+v", d.OpenAPI, d.Info)
	}
	ids, calls := map[string]bool{}, 0
	for path, methods := range d.Paths {
		for method, call := range methods {
			calls++
			id, _ := call["operationId"].(string)
			if id == "" || ids[id] || call["summary"] == nil {
				t.Errorf("%s %s: operationId %q, summary %v", method, path, id, call["summary"])
			}
			ids[id] = true
			if responses, _ := call["responses"].(map[string]any); len(responses) == 0 {
				t.Errorf("%s %s has no answers", method, path)
			}
			checkParams(t, method+" "+path, path, call)
		}
	}
	routes := o.server.Routes()
	for _, r := range routes {
		if d.Paths[r.Path][strings.ToLower(r.Method)]["operationId"] != r.ID {
			t.Errorf("%s %s is not in the document", r.Method, r.Path)
		}
	}
	if calls != len(routes) {
		t.Errorf("%d calls in the document, %d routes", calls, len(routes))
	}
	var all any
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	checkSchemas(t, "", all, d.Components.Schemas)
	if csv := fmt.Sprint(d.Paths["/v1/reports/usage"]["get"]["responses"]); !strings.Contains(csv, "text/csv") {
		t.Error("CSV is not documented")
	}
	if schema := fmt.Sprint(d.Components.Schemas["Invoice"]); !strings.Contains(schema, "rated_through") || !strings.Contains(schema, "total") {
		t.Errorf("Invoice: %s", schema)
	}
}

var member = regexp.MustCompile(`\{(\w+)\}`)

func checkParams(t *testing.T, name, path string, call map[string]any) {
	t.Helper()
	declared := map[string]bool{}
	list, _ := call["parameters"].([]any)
	for _, p := range list {
		p, _ := p.(map[string]any)
		if p["schema"] == nil || p["name"] == nil {
			t.Errorf("%s: parameter %v", name, p)
		}
		if p["in"] == "path" {
			declared[fmt.Sprint(p["name"])] = p["required"] == true
		}
	}
	for _, m := range member.FindAllStringSubmatch(path, -1) {
		if !declared[m[1]] {
			t.Errorf("%s: %s is not declared, or not required", name, m[1])
		}
		delete(declared, m[1])
	}
	if len(declared) > 0 {
		t.Errorf("%s declares %v, which its path has not", name, declared)
	}
}

func checkSchemas(t *testing.T, at string, v any, schemas map[string]any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			checkSchemas(t, fmt.Sprintf("%s[%d]", at, i), item, schemas)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			if name, found := strings.CutPrefix(ref, "#/components/schemas/"); !found || schemas[name] == nil {
				t.Errorf("%s: reference %q leads nowhere", at, ref)
			}
		}
		if _, old := v["nullable"].(bool); old {
			t.Errorf("%s: nullable is not of 3.1", at)
		}
		for name, item := range v {
			checkSchemas(t, at+"/"+name, item, schemas)
		}
	}
}

func TestDocsLoadNothingFromElsewhere(t *testing.T) {
	o := build(t)
	w := o.do("", http.MethodGet, "/docs", "")
	o.want(w, http.StatusOK, "/v1/accounts/{id}/invoice/stream", "account:read", `id="schema-Invoice"`)
	for _, m := range regexp.MustCompile(`(?:src|href|action)="([^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if !strings.HasPrefix(m[1], "/") && !strings.HasPrefix(m[1], "#") {
			t.Errorf("loads %s", m[1])
		}
	}
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(w.Body.String(), "<script") || strings.Contains(w.Body.String(), "style=") {
		t.Errorf("policy %q", csp)
	}
	o.want(o.do("", http.MethodGet, "/docs/style.css", ""), http.StatusOK, "body {")
}

// cookies sends a request as a browser with the cookies of an earlier answer.
func (o *outside) browse(method, target, body string, cookies []*http.Cookie, headers ...string) (int, string, []*http.Cookie, http.Header) {
	o.Helper()
	for _, c := range cookies {
		headers = append(headers, "Cookie", c.Name+"="+c.Value)
	}
	if method == http.MethodPost {
		headers = append(headers, "Content-Type", "application/x-www-form-urlencoded")
	}
	w := o.do("", method, target, body, headers...)
	return w.Code, w.Body.String(), w.Result().Cookies(), w.Header() //nolint:bodyclose // a recorder's
}

func TestCustomerLinkOpensOneAccountsPagesUntilItExpires(t *testing.T) {
	o := build(t)
	w := o.as(api.RoleSupport, http.MethodPost, "/v1/accounts/acme/links", `{"valid_seconds":3600}`)
	o.want(w, http.StatusCreated, `"path":"/c/acme?token=`, `"url":"http://example.com/c/acme?token=`, `"expires_at":"2026-11-21T12:00:00Z"`)
	var link api.Link
	if err := json.Unmarshal(w.Body.Bytes(), &link); err != nil {
		t.Fatal(err)
	}
	code, text, _, _ := o.browse(http.MethodGet, "/c/acme", "", nil)
	if code != http.StatusUnauthorized || !strings.Contains(text, "Open your link again") {
		t.Errorf("without the link: %d %s", code, text)
	}
	code, _, cookies, header := o.browse(http.MethodGet, link.Path+"&period=2026-11-01", "", nil)
	if code != http.StatusSeeOther || header.Get("Location") != "/c/acme?period=2026-11-01" || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("open: %d %s %v", code, header, cookies)
	}
	for target, want := range map[string]int{
		"/c/acme": 200, "/c/lab/lines/x": 200, "/c/other": 403, "/c/nobody": 403, "/c/": 404, "/ops": 403, "/assets/x": 200,
		"/v1/accounts/acme/invoice": 200, "/v1/accounts/other/invoice": 403, "/v1/keys": 403, // a session reads what a customer key reads
	} {
		if code, text, _, _ := o.browse(http.MethodGet, target, "", cookies); code != want {
			t.Errorf("%s: %d, want %d: %s", target, code, want, text)
		}
	}
	if code, _, _, _ := o.browse(http.MethodPost, "/c/acme", "", cookies); code != 404 {
		t.Errorf("a customer's page is written to: %d", code)
	}
	for _, bad := range []string{
		link.Path + "x", strings.Replace(link.Path, "token=e", "token=f", 1), "/c/acme?token=x.y", "/c/acme?token=" + cookies[0].Value,
	} {
		if code, _, got, _ := o.browse(http.MethodGet, bad, "", nil); code != http.StatusUnauthorized || len(got) != 0 {
			t.Errorf("%s: %d", bad, code)
		}
	}
	if code, _, _, _ := o.browse(http.MethodGet, strings.Replace(link.Path, "/c/acme", "/c/other", 1), "", nil); code != http.StatusSeeOther {
		t.Errorf("a link leads to another page: %d", code) // the session that it opens is acme's all the same
	}
	o.world.At = noon.Add(time.Hour)
	for _, target := range []string{link.Path, "/c/acme"} {
		if code, _, _, _ := o.browse(http.MethodGet, target, "", cookies); code != http.StatusUnauthorized {
			t.Errorf("%s after it expired: %d", target, code)
		}
	}
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/accounts/nobody/links", ""), http.StatusNotFound)
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/accounts/acme/links", `{"valid_seconds":999999999}`), http.StatusUnprocessableEntity)
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/accounts/acme/links", ""), http.StatusCreated, "2026-11-28T12:00:00Z")
}

func TestOperatorsLogInWithAKey(t *testing.T) {
	o := build(t)
	code, _, _, header := o.browse(http.MethodGet, "/ops/rejected?reason=late", "", nil)
	if code != http.StatusSeeOther || header.Get("Location") != "/login?next=%2Fops%2Frejected%3Freason%3Dlate" {
		t.Fatalf("without a session: %d %s", code, header)
	}
	if code, text, _, _ := o.browse(http.MethodGet, header.Get("Location"), "", nil); code != 200 || !strings.Contains(text, `value="/ops/rejected?reason=late"`) {
		t.Errorf("form: %d %s", code, text)
	}
	if code, text, cookies, _ := o.browse(http.MethodPost, "/login", "key=ts_wrong", nil); code != 401 || len(cookies) != 0 || !strings.Contains(text, "not valid") {
		t.Errorf("wrong key: %d %s", code, text)
	}
	form := url.Values{"key": {o.tokens[api.RoleSupport] + "\n"}, "next": {"//evil.example/"}}.Encode()
	if code, _, _, _ := o.browse(http.MethodPost, "/login", form, nil, "Sec-Fetch-Site", "cross-site"); code != http.StatusForbidden {
		t.Errorf("from another site: %d", code)
	}
	code, _, cookies, header := o.browse(http.MethodPost, "/login", form, nil)
	if code != http.StatusSeeOther || header.Get("Location") != "/ops" || len(cookies) != 1 || !cookies[0].HttpOnly {
		t.Fatalf("log in: %d %s", code, header)
	}
	if code, text, _, _ := o.browse(http.MethodGet, "/ops", "", cookies); code != 200 || !strings.Contains(text, "support") {
		t.Errorf("ops: %d %s", code, text)
	}
	// A session reads the API; it writes only with its token, which other sites cannot know.
	if code, text, _, _ := o.browse(http.MethodGet, "/v1/rejected?format=csv", "", cookies); code != 200 {
		t.Errorf("csv link: %d %s", code, text)
	}
	if code, _, _, _ := o.browse(http.MethodPost, "/v1/rejected/retry", "{}", cookies); code != http.StatusForbidden {
		t.Errorf("a session writes without its token: %d", code)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(cookies[0])
	token := o.server.Access.CSRFToken(nil, r)
	if !o.server.Access.CheckCSRF(r, token) || o.server.Access.CheckCSRF(r, "") || o.server.Access.CheckCSRF(r, token+"x") {
		t.Error("the session's token is not told from others")
	}
	w := o.do("", http.MethodPost, "/v1/rejected/retry", "{}", "Cookie", cookies[0].Name+"="+cookies[0].Value, "Content-Type", "application/json", api.CSRFHeader, token)
	o.want(w, http.StatusOK)
	for i := range o.keys.all {
		o.keys.all[i].RevokedAt = &noon
	}
	o.world.At = noon.Add(time.Minute)
	if code, _, _, _ := o.browse(http.MethodGet, "/ops", "", cookies); code != http.StatusSeeOther {
		t.Errorf("the session of a revoked key: %d", code)
	}
	if _, _, gone, _ := o.browse(http.MethodPost, "/logout", "", cookies); len(gone) != 2 || gone[0].Value != "" {
		t.Errorf("log out: %v", gone)
	}
}
