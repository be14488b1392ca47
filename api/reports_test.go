package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/ledger/money"
)

func TestReportsAskForWhatWasMeant(t *testing.T) {
	o := build(t)
	for target, want := range map[string]string{
		"":                   "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z day,account,product",
		"?period=2026-02":    "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z day,account,product",
		"?period=2026-02-17": "2026-02-01T00:00:00Z 2026-03-01T00:00:00Z day,account,product",
		"?from=2026-11-01&to=2026-11-03T12:00:00Z&group_by=product":           "2026-11-01T00:00:00Z 2026-11-03T12:00:00Z product",
		"?period=2026-10&time_zone=Europe/Berlin&group_by=billed_account,day": "2026-10-01T00:00:00+02:00 2026-11-01T00:00:00+01:00 billed_account,day",
	} {
		o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/reports/usage"+target, ""), http.StatusOK, `{"data":[{"day":"2026-11-03"`, `"quantity":"1.5","events":2`, `"next":null`)
		q := o.stores.report
		if got := q.From.Format(time.RFC3339) + " " + q.To.Format(time.RFC3339) + " " + strings.Join(q.GroupBy, ","); got != want {
			t.Errorf("%s: asked %s, want %s", target, got, want)
		}
	}
	for _, target := range []string{
		"?period=November", "?from=2026-11-01", "?from=2026-11-03&to=2026-11-01", "?period=2026-11&from=2026-11-01&to=2026-11-02", "?group_by=colour",
		"?time_zone=Mars/Olympus", "?format=pdf", "?limit=0", "?from=0001-01-01&to=2026-11-01",
	} {
		o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/reports/usage"+target, ""), http.StatusUnprocessableEntity)
	}
}

func TestReportsAsCSVComeWhole(t *testing.T) {
	o := build(t)
	o.stores.pages = 3
	w := o.as(api.RoleFinance, http.MethodGet, "/v1/reports/usage?format=csv", "")
	want := "day,account,billed_account,product,package,quantity,events\n" + strings.Repeat("2026-11-03,acme,,api-calls,,1.5,2\n", 3)
	if o.want(w, http.StatusOK); w.Body.String() != want || w.Header().Get("Content-Type") != "text/csv" {
		t.Errorf("CSV %s: %q", w.Header(), w.Body)
	}
	o.stores.pages = 3
	o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/reports/usage", ""), http.StatusOK, `"next":"2"`)
	w = o.as(api.RoleFinance, http.MethodGet, "/v1/reports/revenue?format=csv", "")
	o.want(w, http.StatusOK, "day,account,billed_account,product,package,currency,amount,events\n,acme,,,,USD,-0.500000000000,0\n")
	o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/reports/revenue?format=csv&period=x", ""), http.StatusUnprocessableEntity)
	o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/rejected?format=csv", ""), http.StatusOK, "reason,source,id,")
	o.stores.known = []api.Activity{charged()}
	o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/accounts/acme/activities?format=csv", ""), http.StatusOK,
		"kind,id,source,time,account,billed,product,package,attributes,quantity,charge,currency,rate_level,", `"{""region"":""eu""}"`)
	// An answer without rows stays JSON, whatever is asked.
	o.want(o.as(api.RoleFinance, http.MethodGet, "/v1/products/x?format=csv", "", "Accept", "text/csv"), http.StatusNotFound)
}

func TestReconciliation(t *testing.T) {
	o := build(t)
	for target, want := range map[string]string{"": "2026-11", "?period=2026-02": "2026-02"} {
		o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/reports/reconciliation"+target, ""), http.StatusOK, `"agrees":true,"deep":false,"pools":0,"partitions":[]`, `"sums":[]`)
		if o.stores.month != want {
			t.Errorf("%s: asked for %s", target, o.stores.month)
		}
	}
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/reports/reconciliation?format=csv", ""), http.StatusOK, "partition,accepted,retried,rated,duplicates,rejected,agrees\n")
	o.want(o.as(api.RoleAuditor, http.MethodGet, "/v1/reports/reconciliation?period=2026", ""), http.StatusUnprocessableEntity)
}

func charged() api.Activity {
	return api.Activity{
		Kind: "usage", ID: "e-1", Source: "gw/7", Time: noon, Account: "acme", Billed: "acme", Product: "api-calls", Attributes: map[string]string{"region": "eu"},
		Quantity: money.MustParse("3"), Charge: money.Fixed{Decimal: money.MustParse("0.3")}, Currency: "USD",
		Rate: api.ActivityRate{Level: "product_default", ID: "r-1", Model: "graduated"}, Partition: 3, Offset: 41, Index: 2, LogTime: noon,
	}
}

// paid is an activity of an event that carried yen, under a rate in dollars.
func paid() api.Activity {
	a := charged()
	a.EventPackage = "starter"
	a.Amount = &api.ActivityAmount{Amount: money.MustParse("250"), Currency: "JPY", Exchange: &api.Exchange{Rate: money.MustParse("0.0064"), Date: "2026-11-20"}}
	a.Rate.Currency, a.Rate.Exchange = "USD", &api.Exchange{Rate: money.MustParse("0.8"), Date: "2026-10-31"}
	return a
}

func TestMoneyOfActivities(t *testing.T) {
	o := build(t)
	o.stores.known = []api.Activity{paid(), charged()}
	answer := o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/activities", "")
	o.want(answer, http.StatusOK,
		`"event_package":"starter"`, `"amount":{"amount":"250","currency":"JPY","exchange":{"rate":"0.0064","date":"2026-11-20"}}`,
		`"currency":"USD","exchange":{"rate":"0.8","date":"2026-10-31"}`)
	if n := strings.Count(answer.Body.String(), "exchange"); n != 2 {
		t.Errorf("%d exchanges in %s", n, answer.Body)
	}
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/activities?format=csv", ""), http.StatusOK,
		",rate_currency,rate_exchange_rate,rate_exchange_date,", ",event_package,amount_amount,amount_currency,amount_exchange_rate,amount_exchange_date,",
		",starter,250,JPY,0.0064,2026-11-20,", ",USD,0.8,2026-10-31,", ",,,,,")
}

func TestActivitiesOfAnAccount(t *testing.T) {
	o := build(t)
	o.stores.known = []api.Activity{charged()}
	o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/activities?line=abc&product=api-calls&day=2026-11-03&attribute=region=eu&attribute=zone=a=b&cursor=c&limit=7", ""),
		http.StatusOK, `"charge":"0.300000000000"`, `"next":"next-page"`)
	q := o.stores.activities
	if q.Account != "acme" || q.Line != "abc" || q.Product != "api-calls" || q.Cursor != "c" || q.Limit != 7 || q.Attributes["region"] != "eu" || q.Attributes["zone"] != "a=b" ||
		q.From.UTC().Format(time.RFC3339) != "2026-11-02T23:00:00Z" || q.To.UTC().Format(time.RFC3339) != "2026-11-03T23:00:00Z" { // a day of Berlin
		t.Errorf("asked %+v", q)
	}
	for _, bad := range []string{"?day=monday", "?day=2026-11-03&from=2026-11-01", "?attribute=region", "?from=soon", "?to=2026"} {
		o.want(o.as(api.RoleCustomer, http.MethodGet, "/v1/accounts/acme/activities"+bad, ""), http.StatusUnprocessableEntity)
	}
}

func TestAnEventsWay(t *testing.T) {
	o := build(t)
	o.stores.known = []api.Activity{charged()}
	line := o.world.Use("acme", "api-calls", "3", noon)
	o.stores.known[0].Line = line.Line.String()
	o.stores.refused = []api.RejectedUsage{{Source: "gw/7", ID: "e-1", Account: "other", Reason: "no_rate", ReceivedAt: noon, Partition: 1, Offset: 9}}
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/events/gw%2F7/e-1", ""), http.StatusOK,
		`"state":"charged"`, "partition 3, offset 41, event 2 of its record", "0.300000000000 USD by rate r-1", `"why":["`, "product_default answered: ",
		`"state":"rejected"`, "no_rate: kept whole", "partition 1, offset 9")
	if o.stores.activities.Source != "gw/7" || o.stores.activities.EventID != "e-1" || o.stores.rejected.Source != "gw/7" {
		t.Errorf("asked %+v, %+v", o.stores.activities, o.stores.rejected)
	}
	o.stores.known, o.stores.refused = nil, nil
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/events/gw/none", ""), http.StatusNotFound, "neither charged nor rejected")
}

func TestRejectedUsageIsListedAndRetried(t *testing.T) {
	o := build(t)
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/rejected?reason=no_rate&account=acme&product=sms&source=gw&id=e", ""), http.StatusOK, `"data":[]`, `"next":null`, `"counts":[]`)
	if want := (api.RejectedFilter{Reason: "no_rate", Account: "acme", Product: "sms", Source: "gw", ID: "e"}); o.stores.rejected != want {
		t.Errorf("asked %+v", o.stores.rejected)
	}
	o.want(o.as(api.RoleSupport, http.MethodGet, "/v1/rejected?cursor=bad", ""), http.StatusUnprocessableEntity)
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rejected/retry", `{"reason":"no_rate"}`), http.StatusOK, `{"retried":7}`)
	if o.stores.retried.Reason != "no_rate" {
		t.Errorf("retried %+v", o.stores.retried)
	}
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rejected/retry", `{}`), http.StatusOK)
	if o.stores.retried != (api.RejectedFilter{}) {
		t.Errorf("retried %+v", o.stores.retried)
	}
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rejected/retry", `{"reasons":"no_rate"}`), http.StatusUnprocessableEntity, "unexpected property") // a typo must not mean all
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rejected/retry", ``), http.StatusBadRequest)
	o.want(o.as(api.RoleSupport, http.MethodPost, "/v1/rejected/retry", `{`), http.StatusBadRequest)
}
