package api_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
)

// who says by hand which roles may call what: i(ngest) c(ustomer) s(upport) f(inance) a(dmin) r: auditor; * everybody without a key.
var who = map[string]string{
	"metrics": "*", "healthz": "*", "readyz": "*", "openapi": "*", "catalog-schema": "*", "docs": "*", "docs-style": "*", "login": "*", "login-form": "*", "logout": "*",
	"operations-status": "sfar", "send-usage": "ia",
	"current-invoice": "csfar", "account-children": "csfar", "account-prices": "csfar", "explain-line": "csfar", "explain-activity": "csfar", "watch-invoice": "csfar",
	"rate-event": "csfar", "list-activities": "csfar", "get-account": "csfar", "make-link": "sa",
	"apply-catalog": "a", "export-catalog": "sfar",
	"list-products": "sfar", "list-rate-classes": "sfar", "list-packages": "sfar", "list-contracts": "sfar", "list-accounts": "sfar",
	"get-product": "sfar", "get-rate-class": "sfar", "get-package": "sfar", "get-contract": "sfar",
	"put-product": "a", "put-rate-class": "a", "put-package": "a", "put-contract": "a", "put-account": "a",
	"delete-product": "a", "delete-rate-class": "a", "delete-package": "a", "delete-contract": "a", "delete-account": "a",
	"list-rejected": "sfar", "retry-rejected": "sa", "skip-event": "a", "event-way": "sfar",
	"list-collectors": "sfar", "put-collector": "a", "run-collector": "a", "list-runs": "sfar", "upload-file": "a", "deliver-webhook": "*",
	"pause-collector": "a", "resume-collector": "a", "test-collector": "a", "list-passes": "sfar", "list-run-errors": "sfar",
	"report-usage": "csfar", "report-revenue": "csfar", "report-reconciliation": "far",
	"start-backtest": "far", "list-backtests": "far", "get-backtest": "far", "stop-backtest": "far", "backtest-rows": "far",
	"rerate": "sa", "list-rerate": "sfar", "get-rerate": "sfar", "rerate-lines": "sfar", "rerate-accounts": "sfar",
	"create-key": "a", "list-keys": "ar", "revoke-key": "a",
}

var letters = map[api.Role]string{
	api.RoleIngest: "i", api.RoleCustomer: "c", api.RoleSupport: "s", api.RoleFinance: "f", api.RoleAdmin: "a", api.RoleAuditor: "r",
}

func TestEveryRouteForEveryRole(t *testing.T) {
	o := build(t)
	close(o.closing) // so that the stream ends at once
	seen := map[string]bool{}
	for _, route := range o.server.Routes() {
		allowed, ok := who[route.ID]
		if !ok {
			t.Errorf("route %s %s (%s) is not in the table of this test", route.Method, route.Path, route.ID)
			continue
		}
		seen[route.ID] = true
		target := strings.NewReplacer("{id}", "acme", "{name}", "calls", "{line}", "x", "{source}", "gateway").Replace(route.Path)
		body := ""
		if route.Method == http.MethodPost || route.Method == http.MethodPut {
			body = "{}"
		}
		if code := o.do("", route.Method, target, body, "Content-Type", "application/json").Code; (allowed == "*") == (code == http.StatusUnauthorized && route.ID != "login" && route.ID != "deliver-webhook") { // which ask for something else than a key
			t.Errorf("%s without a key: %d", route.ID, code)
		}
		if allowed == "*" {
			continue
		}
		for _, role := range api.Roles {
			w := o.as(role, route.Method, target, body)
			refused := w.Code == http.StatusForbidden || w.Code == http.StatusUnauthorized
			if may := strings.Contains(allowed, letters[role]); may == refused && !(route.ID == "rate-event" && role == api.RoleCustomer) {
				t.Errorf("%s as %s: %d %s", route.ID, role, w.Code, w.Body)
			} else if refused {
				o.want(w, http.StatusForbidden, `"title":"Forbidden"`)
			}
		}
	}
	for id := range who {
		if !seen[id] {
			t.Errorf("no route %s", id)
		}
	}
}

func TestAKeyThatIsWrong(t *testing.T) {
	o := build(t)
	good := o.tokens[api.RoleAdmin]
	for name, header := range map[string]string{
		"none": "", "basic": "Basic " + good, "no scheme": good, "other": "Bearer ts_0000000000000000_" + strings.Repeat("0", 64), "cut": "Bearer " + good[:len(good)-1],
		"empty": "Bearer ", "not ours": "Bearer sk_live_1",
	} {
		w := o.do("", http.MethodGet, "/v1/keys", "", "Authorization", header)
		o.want(w, http.StatusUnauthorized, `"detail":"a valid API key is needed`)
		if w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", name)
		}
	}
	o.want(o.do("", http.MethodGet, "/v1/keys", "", "Authorization", "bearer "+good), http.StatusOK) // schemes are case-insensitive
}

func TestACustomerSeesItsAccountAndThoseBelow(t *testing.T) {
	o := build(t)
	o.world.Use("acme", "api-calls", "150", noon)
	for account, want := range map[string]int{"acme": 200, "lab": 200, "other": 403, "nobody": 403} {
		for _, path := range []string{"/invoice", "/prices", "/children", "/activities"} {
			if w := o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/"+account+path, ""); w.Code != want {
				t.Errorf("%s%s: %d %s", account, path, w.Code, w.Body)
			}
		}
	}
	lab := o.key(api.RoleCustomer, "lab")
	if w := o.do(lab, http.MethodGet, "/v1/accounts/acme/invoice", ""); w.Code != http.StatusForbidden {
		t.Errorf("a child reads its parent's invoice: %d", w.Code)
	}
	foreign, unknown := o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/other/invoice", ""), o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/nobody/invoice", "")
	if foreign.Body.String() != unknown.Body.String() {
		t.Errorf("a customer can tell that an account exists: %s %s", foreign.Body, unknown.Body)
	}
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/accounts/nobody/invoice", ""), http.StatusNotFound, "nobody")

	for target, account := range map[string]string{"/v1/reports/usage": "acme", "/v1/reports/usage?account=lab": "lab"} {
		if o.want(o.as(api.RoleCustomer, http.MethodGet, target, ""), http.StatusOK); o.stores.report.Account != account {
			t.Errorf("%s asked for %q", target, o.stores.report.Account)
		}
	}
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/reports/revenue?account=other", ""), http.StatusForbidden)

	event := func(account string) string { return `{"id":"e","account":"` + account + `","product":"api-calls"}` }
	o.want(o.as(api.RoleCustomer, http.MethodPost, "/v1/rate", event("+4930123")), http.StatusOK, `"charge":"0.050000000000"`)
	for _, account := range []string{"other", "+44123", "nobody"} {
		o.want(o.as(api.RoleCustomer, http.MethodPost, "/v1/rate", event(account)), http.StatusForbidden)
	}
}

func TestKeysAreMadeShownOnceAndRevokedAtOnce(t *testing.T) {
	o := build(t)
	w := o.as(api.RoleAdmin, http.MethodPost, "/v1/keys", `{"name":"gateway-7","role":"ingest"}`)
	o.want(w, http.StatusCreated, `"role":"ingest"`, `"prefix":"ts_`)
	var made struct{ ID, Key string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || len(made.Key) != len("ts_")+16+1+64 {
		t.Fatal(err, w.Body)
	}
	o.want(o.do(made.Key, http.MethodPost, "/v1/usage", `{"id":"e","account":"acme","product":"api-calls"}`), http.StatusAccepted, `"accepted":1`)
	if got := o.broker.events()[0].Source; got != "gateway-7" {
		t.Errorf("the source defaults to %q, want the key's name", got)
	}
	list := o.as(api.RoleAuditor, http.MethodGet, "/v1/keys", "")
	o.want(list, http.StatusOK, made.ID, `"next":null`)
	if strings.Contains(list.Body.String(), made.Key) || strings.Contains(strings.ToLower(list.Body.String()), "hash") {
		t.Errorf("the list shows secrets: %s", list.Body)
	}
	o.want(o.as(api.RoleAdmin, http.MethodDelete, "/v1/keys/"+made.ID, ""), http.StatusOK, `"revoked_at":"2026-11-21T11:00:00Z"`)
	o.want(o.do(made.Key, http.MethodPost, "/v1/usage", `{}`), http.StatusUnauthorized)
	o.want(o.as(api.RoleAdmin, http.MethodDelete, "/v1/keys/unknown", ""), http.StatusNotFound)

	for body, part := range map[string]string{
		`{"name":"x","role":"root"}`:                            "role",
		`{"name":"x","role":"customer"}`:                        "needs the account",
		`{"name":"x","role":"admin","account":"acme"}`:          "only a customer key",
		`{"name":"x","role":"customer","account":"acme","a":1}`: "unexpected property",
	} {
		o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/keys", body), http.StatusUnprocessableEntity, part)
	}
	o.want(o.as(api.RoleAdmin, http.MethodPost, "/v1/keys", `{"name":"x","role":"customer","account":"nobody"}`), http.StatusNotFound)
}

func TestKeysWorkWhileTheirStoreIsAway(t *testing.T) {
	o := build(t)
	send := func(token string) int {
		return o.do(token, http.MethodPost, "/v1/usage", `{"id":"e","account":"acme","product":"api-calls"}`).Code
	}
	known, unknown := o.tokens[api.RoleIngest], o.tokens[api.RoleAdmin]
	if got := send(known); got != http.StatusAccepted {
		t.Fatal(got)
	}
	reads := o.keys.reads
	if got := send(known); got != http.StatusAccepted || o.keys.reads != reads {
		t.Errorf("a key that was just checked is looked up again: %d, %d reads", got, o.keys.reads-reads)
	}
	o.keys.err = errors.New("connection refused")
	o.world.At = noon.Add(time.Hour)
	if got := send(known); got != http.StatusAccepted {
		t.Errorf("a known key while the store is away: %d", got)
	}
	o.want(o.do(unknown, http.MethodGet, "/v1/keys", ""), http.StatusServiceUnavailable)
	o.keys.err = nil
	o.world.At = noon.Add(2 * time.Hour)
	for i := range o.keys.all { // revoked by another process
		o.keys.all[i].RevokedAt = &noon
	}
	if got := send(known); got != http.StatusUnauthorized {
		t.Errorf("a key that another process revoked: %d", got)
	}
}

func TestWithoutAKeyTheServerStaysOnLoopback(t *testing.T) {
	keys := &memoryKeys{secrets: map[string][]byte{}}
	for _, addr := range []string{"0.0.0.0:8080", ":8080", "10.1.2.3:80", "[::]:80", "example.com:80", "nonsense"} {
		if token, err := api.FirstKey(t.Context(), keys, addr, noon); !errors.Is(err, api.ErrNotLoopback) || token != "" {
			t.Errorf("%s: %q, %v", addr, token, err)
		}
	}
	token, err := api.FirstKey(t.Context(), keys, "127.0.0.1:8080", noon)
	if err != nil || !strings.HasPrefix(token, "ts_") || keys.all[0].Role != api.RoleAdmin {
		t.Fatal(token, err)
	}
	for _, addr := range []string{"localhost:1", "[::1]:1", "0.0.0.0:8080"} {
		if token, err := api.FirstKey(t.Context(), keys, addr, noon); err != nil || token != "" {
			t.Errorf("with a key, %s: %q, %v", addr, token, err)
		}
	}
}
