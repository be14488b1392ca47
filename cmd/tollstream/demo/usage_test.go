package demo

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/invoicer/invoicertest"
	"github.com/tollstream/tollstream/ledger/money"
)

var noon = time.Date(2026, 11, 20, 11, 0, 0, 0, time.UTC) // a Friday, noon in Berlin, 6:00 in New York

func used(account, product, quantity string, attributes ...usage.Attribute) usage.Event {
	return usage.Event{
		ID: "e", Source: Source, Account: account, Product: product, Quantity: money.MustParse(quantity), Time: noon.UnixNano(), Attributes: attributes,
	}
}

// The amounts are worked out by hand from the price book.
func TestPriceBook(t *testing.T) {
	desk := invoicertest.New(t, noon, string(Catalog)).Desk(nil)
	models := map[string]bool{}
	for _, c := range []struct {
		event                usage.Event
		charge, level, model string
		currency, billed     string
	}{
		{used("nordwind", "api.requests", "30000000"), "850", "contract", "graduated", "EUR", "nordwind"},                 // 20M × 0.00003 + 10M × 0.000025
		{used("nordwind", "compute", "1000"), "0.0125", "product_default", "per_unit", "EUR", "nordwind"},                 // 1000 × 0.0000125
		{used("nordwind", "egress", "30000"), "1500", "product_default", "volume", "EUR", "nordwind"},                     // 30000 × 0.05
		{used("nordwind", "object-storage", "5000000"), "225", "product_default", "graduated", "EUR", "nordwind"},         // 25 + 5M × 0.00004
		{used("+491713920001", "call", "30"), "0.0048", "rate_class", "per_unit", "EUR", "nordwind"},                      // at least 60 s × 0.00008
		{used("+491713920006", "lte", "6000000"), "5200", "package_default", "graduated", "EUR", "nordwind"},              // 5M × 0.0009 + 1M × 0.0007
		{used("nordwind-logistik", "sms", "12000.5"), "27", "account_package_product", "package", "EUR", "nordwind"},      // 3 × 9 above 10000
		{used("nordwind-logistik", "sip-trunk", "7"), "49", "product_default", "flat", "EUR", "nordwind"},                 // once
		{used("harbor", "api-calls", "60000000"), "2400", "product_default", "volume", "USD", "harbor"},                   // 60M × 0.00004
		{used("harbor", "compute.vcpu_seconds", "1000"), "0.012", "account_package_product", "per_unit", "USD", "harbor"}, // 1000 × 0.000012
		{used("harbor", "egress", "1500"), "90", "package_default", "volume", "USD", "harbor"},                            // all 1500 × 0.06
		{used("harbor", "object-storage", "30000000"), "1100", "account_product", "graduated", "USD", "harbor"},           // 20M × 0.00004 + 10M × 0.00003
		{used("+12125550101", "sms", "2500"), "28", "product_default", "package", "USD", "harbor"},                        // 2 × 14 above 1000
	} {
		q, err := desk.Quote(t.Context(), c.event)
		if err != nil {
			t.Errorf("%s %s: %v", c.event.Account, c.event.Product, err)
			continue
		}
		rate := q.Explanation.Rate
		models[rate.Model] = true
		if q.Charge.String() != money.MustParse(c.charge).Fixed() || rate.Level != c.level || rate.Model != c.model || q.Currency != c.currency || q.Billed != c.billed {
			t.Errorf("%s %s of %s: %s %s, %s, %s, billed to %s; want %s %s, %s, %s, %s", c.event.Quantity, c.event.Product, c.event.Account,
				q.Charge, q.Currency, rate.Level, rate.Model, q.Billed, c.charge, c.currency, c.level, c.model, c.billed)
		}
	}
	if got := slices.Sorted(maps.Keys(models)); !slices.Equal(got, []string{"flat", "graduated", "package", "per_unit", "volume"}) {
		t.Errorf("the streams are priced by %v; the price book shall show every model", got)
	}
}

// What the player sends has a price, except for its mistakes, which have none for four different reasons.
func TestStreamsHavePrices(t *testing.T) {
	desk := invoicertest.New(t, noon, string(Catalog)).Desk(nil)
	for _, s := range streams {
		for _, name := range s.names {
			q, err := desk.Quote(t.Context(), used(name, s.product, "1"))
			if err != nil {
				t.Errorf("%s of %s: %v", s.product, name, err)
			} else if q.Account != companies[s.company].account {
				t.Errorf("%s is account %s, want %s", name, q.Account, companies[s.company].account)
			}
		}
	}
	want := []error{invoicer.ErrProductUnknown, invoicer.ErrAccountUnknown, invoicer.ErrNoPrice, invoicer.ErrNoPrice}
	words := []string{"", "", "no_rate", "not_provisioned"}
	for i, m := range mistakes {
		_, err := desk.Quote(t.Context(), used(m.account, m.product, "1"))
		if !errors.Is(err, want[i]) || !strings.Contains(err.Error(), words[i]) {
			t.Errorf("%s of %s: %v, want %v %s", m.product, m.account, err, want[i], words[i])
		}
	}
}

// sums adds up quantities by stream, attributes and all.
func sums(t *testing.T, into map[string]money.Decimal, events []event) {
	t.Helper()
	for i := range events {
		e := &events[i]
		account := e.Account
		if account[0] == '+' {
			account = account[:4]
		}
		key := account + " " + e.Product
		for _, v := range e.Attributes {
			key += " " + v
		}
		sum, err := into[key].Add(money.MustParse(e.Quantity))
		if err != nil {
			t.Fatal(err)
		}
		into[key] = sum
	}
}

func TestASecondsUsage(t *testing.T) {
	seen := map[string]bool{}
	lowest, highest := 1000, 0
	for second := range 24 * 3600 / 7 {
		at := noon.Add(time.Duration(second) * 7 * time.Second)
		events := eventsIn(at)
		lowest, highest = min(lowest, len(events)), max(highest, len(events))
		if second%100 == 0 && !reflect.DeepEqual(events, eventsIn(at)) {
			t.Fatalf("the usage of %s is not the same twice", at)
		}
		for i := range events {
			e := &events[i]
			if seen[e.ID] {
				t.Fatalf("id %s comes twice", e.ID)
			}
			seen[e.ID] = true
			if e.Time.Before(at) || !e.Time.Before(at.Add(time.Second)) {
				t.Fatalf("%s happened at %s, want within the second of %s", e.ID, e.Time, at)
			}
		}
	}
	if lowest < 10 || highest > 60 {
		t.Errorf("%d to %d events a second, want 10 to 60 with their noise", lowest, highest)
	}
	checkParse(t, eventsIn(noon))
	checkParse(t, historyIn(noon))
}

// checkParse reads the events as the server does.
func checkParse(t *testing.T, events []event) {
	t.Helper()
	body, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	request, err := usage.Parse(usage.ShapeJSON, string(body))
	if err != nil || len(request.Refused) > 0 || len(request.Events) != len(events) {
		t.Errorf("the server reads %d of %d events, refuses %v: %v", len(request.Events), len(events), request.Refused, err)
	}
}

// An hour of the past holds about what it would have held second by second, so that no chart jumps where the demo began.
func TestHistoryFitsTheLiveUsage(t *testing.T) {
	live, past := map[string]money.Decimal{}, map[string]money.Decimal{}
	for second := range 3600 {
		sums(t, live, eventsIn(noon.Add(time.Duration(second)*time.Second)))
	}
	sums(t, past, historyIn(noon))
	if !reflect.DeepEqual(historyIn(noon), historyIn(noon)) {
		t.Error("an hour's history is not the same twice")
	}
	for key, l := range live {
		if strings.Contains(key, "telemetry") || strings.Contains(key, "roaming") || strings.Contains(key, "fax") || strings.HasPrefix(key, "+493") || strings.Contains(key, "trunk") {
			continue // too few in an hour to compare
		}
		p := past[key]
		half, err := l.Mul(money.MustParse("0.6"))
		if err != nil {
			t.Fatal(err)
		}
		more, err := l.Mul(money.MustParse("1.4"))
		if err != nil {
			t.Fatal(err)
		}
		if p.Cmp(half) < 0 || p.Cmp(more) > 0 {
			t.Errorf("%s: %s in an hour of the past, %s live", key, p, l)
		}
	}
}

func TestResume(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if got := beginning(at("2026-01-15T00:00:00Z")); !got.Equal(at("2025-12-01T05:00:00Z")) {
		t.Errorf("the past begins at %s", got)
	}
	for _, c := range []struct{ id, newest, want string }{
		{"s-1-1", "2026-11-20T11:00:30.7Z", "2026-11-20T10:59:30Z"},        // a minute again
		{"h-2026112010-3", "2026-11-20T10:30:00Z", "2026-11-20T10:00:00Z"}, // the hour again
	} {
		if got := resumeAfter(c.id, at(c.newest)); !got.Equal(at(c.want)) {
			t.Errorf("after %s at %s goes on at %s, want %s", c.id, c.newest, got, c.want)
		}
	}
}
