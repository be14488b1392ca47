package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/price/pricetest"
)

func TestExplainAnActivity(t *testing.T) {
	var desk *invoicer.Desk
	o := build(t, func(c *api.Config) { desk = c.Invoices.(*invoicer.Desk) })
	log := invoicertest.NewLog(o.world)
	desk.History = log
	for _, account := range []string{"acme", "acme", "other", "lab"} {
		e := usage.Event{ID: "e", Source: "s", Account: account, Product: "api-calls", Quantity: money.MustParse("60"), Time: noon.UnixNano()}
		if _, reason := log.Add(e, rater.Invoiced{}); reason != "" {
			t.Fatal(reason)
		}
	}
	path := func(id string) string { return "/v1/activities/" + id + "/explanation" }
	w := o.as(api.RoleCustomer, http.MethodGet, path("0-1-0"), "")
	o.want(w, http.StatusOK, `"charge":"5.000000000000"`, `"before":"6.000000000000"`, `"equation":"(100 × 0.1 + 20 × 0.05) - 60 × 0.1 = 5"`,
		`"short":"40 × 0.1 + 20 × 0.05 = 5"`, `"level":"product_default"`, `"answered":true`, `"tier":"tier 2: above 100"`)
	var x invoicer.ChargeDetail
	if err := json.Unmarshal(w.Body.Bytes(), &x); err != nil {
		t.Fatal(err)
	}
	for equation, amount := range map[string]string{x.Equation: "5", x.Arithmetic.Short: "5", x.Total.Equation: "11"} {
		if bad := pricetest.Claims(equation, amount, 0); bad != "" {
			t.Error(bad)
		}
	}
	o.world.Apply("products: [{id: shared, rates: [{model: graduated, pool: invoice, tiers: [{up_to: 100, unit_price: 0.10}, {unit_price: 0.05}]}]}]")
	pooled := invoicertest.NewRated(o.world)
	for _, account := range []string{"acme", "lab"} {
		pooled.Use(usage.Event{ID: account, Source: "s", Account: account, Product: "shared", Quantity: money.MustParse("60"), Time: noon.UnixNano()})
	}
	desk.History = &pooled.Log
	o.want(o.as(api.RoleCustomer, http.MethodGet, path(pooled.History[1].Place.String()), ""), http.StatusOK, `"equation":"(100 × 0.1 + 20 × 0.05) - 60 × 0.1 = 5"`,
		`"before":"0.000000000000","after":"5.000000000000"`, `"shared":{"pool":"invoice","words":"tiers are shared by all usage of shared that account acme pays for",`+
			`"before":{"used":"60","tier":"tier 1: up to 100","amount":"6.000000000000"},"after":{"used":"120","tier":"tier 2: above 100","amount":"11.000000000000"}}`)
	desk.History = log
	o.want(o.as(api.RoleCustomer, http.MethodGet, path("0-1-0")+"?account=acme", ""), http.StatusOK)
	o.want(o.as(api.RoleCustomer, http.MethodGet, path("0-3-0"), ""), http.StatusOK, `"account":"lab"`) // below its own
	o.want(o.as(api.RoleSupport, http.MethodGet, path("0-2-0"), ""), http.StatusOK, `"account":"other"`)
	o.want(o.as(api.RoleSupport, http.MethodGet, path("0-2-0")+"?account=acme", ""), http.StatusNotFound)
	o.want(o.as(api.RoleSupport, http.MethodGet, path("nonsense"), ""), http.StatusNotFound, "partition-offset-index")
	o.want(o.as(api.RoleCustomer, http.MethodGet, path("0-2-0")+"?account=other", ""), http.StatusForbidden)
	o.want(o.as(api.RoleIngest, http.MethodGet, path("0-1-0"), ""), http.StatusForbidden)
	// A customer cannot tell another's activity from one that is not there.
	foreign, unknown := o.as(api.RoleCustomer, http.MethodGet, path("0-2-0"), ""), o.as(api.RoleCustomer, http.MethodGet, path("0-9-0"), "")
	o.want(foreign, http.StatusNotFound)
	o.want(unknown, http.StatusNotFound)
	var a, b api.Problem
	if json.Unmarshal(foreign.Body.Bytes(), &a) != nil || json.Unmarshal(unknown.Body.Bytes(), &b) != nil || len(a.Detail) != len(b.Detail) {
		t.Errorf("a customer can tell that an activity exists: %s %s", foreign.Body, unknown.Body)
	}
}
