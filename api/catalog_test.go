package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/api"
)

const (
	product = `{"id":"sms","name":"SMS","rates":[{"model":"per_unit","unit_price":"0.02"}]}`
	broken  = "products:\n  - id: sms\n    rates:\n      - model: per_unit\n        unit_price: much\n"
)

func TestCatalogIsAppliedComparedAndExported(t *testing.T) {
	o := build(t)
	document := `{"currency":"USD","products":[` + product + `]}`
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/catalog?dry_run=true", document), http.StatusOK, `"dry_run":true`, `"action":"created","kind":"product","id":"sms"`)
	if len(o.catalog.rows) != 0 {
		t.Fatal("a dry run wrote")
	}
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/catalog", document), http.StatusOK, `"seq":1`, `"id":"sms"`)
	if o.catalog.last.Format != api.FormatJSON || !strings.HasPrefix(o.catalog.last.Actor, "admin key (") {
		t.Errorf("applied %+v", o.catalog.last)
	}
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/catalog", document), http.StatusOK, `"seq":1`, `"changes":[]`) // idempotent
	o.want(o.do(o.tokens[api.RoleAdmin], http.MethodPut, "/v1/catalog", "products:\n  - {id: mms, rates: [{model: per_unit, unit_price: 1}]}", "Content-Type", "application/yaml"),
		http.StatusOK, `"id":"mms"`)
	w := o.as(api.RoleSupport, http.MethodGet, "/v1/catalog", "")
	if o.want(w, http.StatusOK, `"sms"`, `"mms"`); w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("content type %s", w.Header())
	}
	for _, w := range []string{"?format=yaml", ""} {
		got := o.as(api.RoleSupport, http.MethodGet, "/v1/catalog"+w, "", "Accept", "application/yaml")
		if o.want(got, http.StatusOK, "products:"); got.Header().Get("Content-Type") != "application/yaml" {
			t.Errorf("content type %s", got.Header())
		}
	}
}

func TestPriceListsByMediaType(t *testing.T) {
	o := build(t)
	for kind, want := range map[string]api.Format{"text/csv; charset=utf-8": api.FormatCSV, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": api.FormatXLSX} {
		o.do(o.tokens[api.RoleAdmin], http.MethodPut, "/v1/catalog", "product,unit_price\nf,1\n", "Content-Type", kind)
		if o.catalog.last.Format != want {
			t.Errorf("%s was taken for %s", kind, o.catalog.last.Format)
		}
		o.want(o.do(o.tokens[api.RoleAdmin], http.MethodPut, "/v1/products/f", "{}", "Content-Type", kind), http.StatusUnsupportedMediaType, "send application/json")
	}
	for accept, want := range map[string]api.Format{
		"text/csv": api.FormatCSV, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": api.FormatXLSX, "application/yaml": api.FormatYAML, "*/*": api.FormatJSON,
		"text/csv, application/json": api.FormatJSON,
	} {
		o.as(api.RoleSupport, http.MethodGet, "/v1/catalog", "", "Accept", accept)
		if o.catalog.exported != want {
			t.Errorf("Accept: %s is answered in %s", accept, o.catalog.exported)
		}
	}
	got := o.as(api.RoleSupport, http.MethodGet, "/v1/catalog?format=csv", "", "Accept", "application/json")
	if o.catalog.exported != api.FormatCSV || got.Header().Get("Content-Type") != "text/csv" || got.Header().Get("Content-Disposition") != `attachment; filename="prices.csv"` {
		t.Errorf("%s: %v", o.catalog.exported, got.Header())
	}
}

func TestCatalogErrorsNamePathAndLine(t *testing.T) {
	o := build(t)
	yaml := func(body string) (string, string) { return body, "application/yaml" }
	for name, tc := range map[string]struct {
		body, contentType string
		status            int
		parts             []string
	}{
		"a price":   {broken, "application/yaml", 422, []string{`"path":"products[0].rates[0].unit_price"`, `"line":5`}},
		"not YAML":  {"a: [", "application/yaml", 422, []string{`"line":`}},
		"not taken": {"<a/>", "application/xml", 415, nil},
		"empty":     {"\n\n", "application/yaml", 400, nil},
	} {
		body, contentType := yaml(tc.body)
		if tc.contentType != contentType {
			contentType = tc.contentType
		}
		t.Log(name)
		o.want(o.do(o.tokens[api.RoleAdmin], http.MethodPut, "/v1/catalog", body, "Content-Type", contentType), tc.status, tc.parts...)
	}
	if len(o.catalog.rows) != 0 {
		t.Error("something was applied")
	}
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/catalog?dry_run=maybe", `{}`), http.StatusUnprocessableEntity, "dry_run")
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/catalog?format=xml", ""), http.StatusUnprocessableEntity)
}

func TestEachKindByItself(t *testing.T) {
	o := build(t)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/catalog", `{"currency":"USD"}`), http.StatusOK)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/products/sms", product), http.StatusOK, `"action":"created"`)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/products/mms", "\n"+`{"rates":[{"model":"per_unit","unit_price":"1","currency":"USD"}]}`), http.StatusOK, `"id":"mms"`) // the address names it
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/products/sms", ""), http.StatusOK, `"name":"SMS"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/products", ""), http.StatusOK, `{"data":[{`, `"next":"more"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/packages", ""), http.StatusOK, `"data":[]`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/products/unknown", ""), http.StatusNotFound, "unknown")
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/products/other", product), http.StatusUnprocessableEntity, `"path":"id"`)
	o.want(o.as(api.RoleAdmin, http.MethodDelete, "/v1/products/unknown", ""), http.StatusUnprocessableEntity, `"detail":"there is no product`)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/products/sms", `{"id":"sms",`+"\n\n"+`"rates":[{"model":"per_unit","unit_price":"much"}]}`), http.StatusUnprocessableEntity,
		`"path":"rates[0].unit_price"`, `"line":3`)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/products/sms", `{"id":"sms",`), http.StatusBadRequest, "line 1")
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/products/sms", `[]`), http.StatusBadRequest)
	o.want(o.as(api.RoleAdmin, http.MethodDelete, "/v1/products/sms?dry_run=true", ""), http.StatusOK, `"action":"deleted"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/products/sms", ""), http.StatusOK)
	o.want(o.as(api.RoleAdmin, http.MethodDelete, "/v1/products/sms", ""), http.StatusOK, `"action":"deleted"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/products/sms", ""), http.StatusNotFound)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/accounts/%2B49", `{"currency":"USD"}`), http.StatusOK, `"id":"+49"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/accounts/+49", ""), http.StatusOK, `"+49"`)
	o.want(o.as(api.RoleAdmin, http.MethodPut, "/v1/accounts/a%2Fb", `{"currency":"USD"}`), http.StatusUnprocessableEntity, `"path":"id"`)
}

func TestSchemaIsServedToEditors(t *testing.T) {
	o := build(t)
	w := o.do("", http.MethodGet, "/schemas/catalog.json", "")
	if o.want(w, http.StatusOK, `"$schema": "https://json-schema.org/draft/2020-12/schema"`); w.Header().Get("Content-Type") != "application/schema+json" {
		t.Errorf("content type %s", w.Header())
	}
}
