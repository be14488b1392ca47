package catalog

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestClosest: what is offered is what was meant but for case, dashes and a plural, or one letter; else nothing.
func TestClosest(t *testing.T) {
	for text, want := range map[string]string{
		"Tiers":       "tiers",      // case
		"tier":        "tiers",      // the plural
		"unit-price":  "unit_price", // dashes
		"unitprice":   "unit_price",
		"tires":       "tiers",      // neighbours exchanged
		"tierss":      "tiers",      // a letter more …
		"tirs":        "tiers",      // … and less
		"tiexs":       "tiers",      // another letter
		"unit_prices": "unit_price", // a plural of a word that has none
		"xtiers":      "tiers",      // at the beginning
		"unit_pric":   "unit_price", // at the end
		"unit_pricee": "unit_price",
		"unit_prcie":  "unit_price",
		"unit_piecr":  "", // two exchanged with one between
		"txexs":       "", // two other letters
		"tiersxy":     "",
		"mix":         "", // short words are all near to each other
		"max":         "max",
		"maxx":        "",
	} {
		if got := closest(text, []string{"tiers", "unit_price", "max"}); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	long := strings.Repeat("x", maxIDLength)
	for _, c := range []struct {
		kind Kind
		id   string
		good bool
	}{
		{KindProduct, "a", true}, {KindProduct, "", false}, {KindProduct, long, true}, {KindProduct, long + "x", false},
		{KindProduct, ".", false}, {KindProduct, "..", false}, {KindProduct, "...", true}, {KindProduct, "a.b_c-d+e9", true}, {KindProduct, "größe", true},
		{KindProduct, "a:b", true}, {kindRate, "a:b", false}, {kindRate, "a-b", true},
		{KindProduct, "a@b", false}, {KindAccount, "a@b", true}, {KindAccount, "a b", false}, {KindAccount, "a\u200bb", false}, {KindAccount, "a\u00a0b", false},
		{KindAccount, "a/b", false}, {KindAccount, `a\b`, false}, {KindAccount, "a#b", false}, {KindAccount, "a?b", false}, {KindAccount, "a%b", false},
	} {
		if err := checkID(c.kind, c.id); (err == nil) != c.good {
			t.Errorf("%s %q: %v", c.kind, c.id, err)
		}
	}
}

func TestClockTimes(t *testing.T) {
	for text, want := range map[string]int{
		"00:00": 0, "0:00": 0, "9:05": 545, "23:59": 1439, "24:00": 1440,
		"24:01": -1, "25:00": -1, "22:60": -1, "22:5": -1, "22:005": -1, "022:00": -1, "22": -1, ":30": -1, "x:30": -1, "22:x0": -1, "": -1, "256:00": -1,
	} {
		minute, ok := parseClock(text)
		if ok != (want >= 0) || ok && minute != want {
			t.Errorf("%q: %d %v, want %d", text, minute, ok, want)
		}
	}
}

func TestWeekdayWords(t *testing.T) {
	for text, want := range map[string]Weekdays{
		"mon": 1, "sun": 1 << 6, "mon-fri": 31, "sat-sun": 96, "fri-mon": 1<<4 | 1<<5 | 1<<6 | 1, "wed-wed": 4, "sun,tue": 1<<6 | 2,
		"monday": 0, "mon-": 0, "-mon": 0, "mon-x": 0, "x-mon": 0, "": 0,
	} {
		days, err := parseWeekdays(strings.Split(text, ","))
		if (err == nil) != (want > 0) || days != want {
			t.Errorf("%q: %b %v, want %b", text, days, err, want)
		}
	}
}

// TestCountryAndCycle: a country has two capital letters, a cycle only an anchor that it can have.
func TestCountryAndCycle(t *testing.T) {
	for country, good := range map[string]bool{"DE": true, "AZ": true, "ZA": true, "D": false, "DEU": false, "dE": false, "De": false, "[E": false, "E[": false, "@A": false, "A@": false} {
		_, err := newBook().apply("c.yaml", "currency: EUR\nseller: {name: x, country: "+`"`+country+`"}`, testNow)
		if (err == nil) != good {
			t.Errorf("country %q: %v", country, err)
		}
	}
	for cycle, good := range map[string]bool{
		"every: monthly, anchor_day: 31": true, "every: weekly, anchor_day: 7": true, "every: weekly, anchor_day: 8": false,
		"every: biweekly, anchor_day: 7": true, "every: biweekly, anchor_day: 8": false,
		"every: daily, anchor_day: 1": true, "every: daily, anchor_day: 2": false, "every: manual, anchor_day: 2": false, "every: manual": true,
		"every: yearly, anchor_day: 8": true,
	} {
		_, err := newBook().apply("c.yaml", "currency: EUR\naccounts: [{id: a, cycle: {"+cycle+"}}]", testNow)
		if (err == nil) != good {
			t.Errorf("cycle %q: %v", cycle, err)
		}
	}
}

// TestNeeds: all that must be read before a document is compared, and nothing beside it.
func TestNeeds(t *testing.T) {
	settings := Ref{KindSettings, settingsID}
	for name, c := range map[string]struct {
		document string
		want     Needs
	}{
		"nothing but settings": {"currency: EUR", Needs{Shared: []Ref{settings}}},
		"an account, its parent and identifiers": {
			"accounts: [{id: b, parent: a, identifiers: [x, x2]}, {id: a}]",
			Needs{Shared: []Ref{settings}, Accounts: []string{"a", "b", "x", "x2"}, Identifiers: []string{"a", "b", "x", "x2"}},
		},
		"one that its parent pays may cross pools": {
			"accounts: [{id: b, parent: a, bill_to: parent}]", Needs{Shared: []Ref{settings}, Accounts: []string{"a", "b"}, Identifiers: []string{"b"}, Pools: true},
		},
		"what an account has": {
			"accounts: [{id: b, products: [{product: p}], packages: [{package: k, rates: [{product: q, model: flat, amount: 1}]}]}]",
			Needs{Shared: []Ref{{KindPackage, "k"}, {KindProduct, "p"}, {KindProduct, "q"}, settings}, Accounts: []string{"b"}, Identifiers: []string{"b"}},
		},
		"a contract, with all of its account": {
			"contracts: [{id: c, account: b, rate_class: gold, rates: [{product: p, package: k, model: flat, amount: 1}]}]",
			Needs{Shared: []Ref{{KindPackage, "k"}, {KindProduct, "p"}, {KindRateClass, "gold"}, settings}, Accounts: []string{"b"}, Contracts: []string{"c"}, ContractAccounts: []string{"b"}},
		},
		"a class and a package, which may be there": {
			"rate_classes: [{id: gold, rates: [{product: p, model: flat, amount: 1}]}]\npackages: [{id: k, products: [{product: q}]}]",
			Needs{Shared: []Ref{{KindPackage, "k"}, {KindProduct, "p"}, {KindProduct, "q"}, {KindRateClass, "gold"}, settings}},
		},
		"what is deleted": {
			"delete: [{kind: account, id: a}, {kind: contract, id: c}, {kind: rate_class, id: gold}, {kind: exchange_rates, id: EUR@2026-01-01}]",
			Needs{
				Shared: []Ref{{KindExchangeRates, "EUR@2026-01-01"}, {KindRateClass, "gold"}, settings}, Accounts: []string{"a"}, Contracts: []string{"c"},
				Deletes: []Ref{{KindAccount, "a"}, {KindContract, "c"}, {KindRateClass, "gold"}, {KindExchangeRates, "EUR@2026-01-01"}}, ExchangeRates: []string{"EUR@2026-01-01"},
			},
		},
		"a day of exchange rates": {
			"exchange_rates: [{base: USD, date: 2026-01-02, rates: {EUR: 1}}, {base: USD, date: 2026-01-01, rates: {EUR: 1}}]",
			Needs{Shared: []Ref{{KindExchangeRates, "USD@2026-01-01"}, {KindExchangeRates, "USD@2026-01-02"}, settings}, ExchangeRates: []string{"USD@2026-01-01", "USD@2026-01-02"}},
		},
		"a product's identifiers may be any other's": {"products: [{id: p, rates: [{model: flat, amount: 1}]}]", Needs{AllShared: true, Grouped: []Ref{{kindGroup, "p"}}}},
		"a chosen id may be any other's": {
			"accounts: [{id: b, products: [{product: p, rates: [{id: two, model: flat, amount: 1}, {id: one, model: flat, amount: 1}, {id: one, model: flat, amount: 1}]}]}]",
			Needs{AllShared: true, Accounts: []string{"b"}, Identifiers: []string{"b"}, RateIDs: []string{"one", "two"}},
		},
		"in a package of an account":  {"accounts: [{id: b, packages: [{package: k, rates: [{product: p, id: one, model: flat, amount: 1}]}]}]", Needs{AllShared: true, Accounts: []string{"b"}, Identifiers: []string{"b"}, RateIDs: []string{"one"}}},
		"in a contract":               {"contracts: [{id: c, account: b, rates: [{product: p, id: one, model: flat, amount: 1}]}]", Needs{AllShared: true, Accounts: []string{"b"}, Contracts: []string{"c"}, ContractAccounts: []string{"b"}, RateIDs: []string{"one"}}},
		"in a class":                  {"rate_classes: [{id: gold, rates: [{product: p, id: one, model: flat, amount: 1}]}]", Needs{AllShared: true, RateIDs: []string{"one"}}},
		"in a package":                {"packages: [{id: k, products: [{product: p, rates: [{id: one, model: flat, amount: 1}]}]}]", Needs{AllShared: true, RateIDs: []string{"one"}}},
		"a pool of accounts":          {"rate_classes: [{id: gold, rates: [{product: p, model: volume, pool: package, tiers: [{unit_price: 1}]}, {product: q, model: flat, amount: 1}]}]", Needs{Shared: []Ref{{KindProduct, "p"}, {KindProduct, "q"}, {KindRateClass, "gold"}, settings}, Crossings: true}},
		"a pool of each account":      {"rate_classes: [{id: gold, rates: [{product: p, model: volume, pool: account, tiers: [{unit_price: 1}]}]}]", Needs{Shared: []Ref{{KindProduct, "p"}, {KindRateClass, "gold"}, settings}}},
		"a capacity on more products": {"rate_classes: [{id: gold, rates: [{product: p, id: cap, model: capacity, pool: account, tiers: [{price: 1}]}]}]", Needs{AllShared: true, RateIDs: []string{"cap"}}},
	} {
		d, err := ParseDocument("needs.yaml", []byte(c.document))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := d.Needs(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n%+v\nwant\n%+v", name, got, c.want)
		}
	}
}

func TestPeriodContains(t *testing.T) {
	p := Period{Start: 10, End: 20}
	for at, want := range map[int64]bool{9: false, 10: true, 19: true, 20: false, math.MaxInt64: false} {
		if p.Contains(at) != want {
			t.Errorf("%d: %v", at, !want)
		}
	}
}

// TestPlansAreWhole: a chain without an account, out of order or without terms makes none.
func TestPlansAreWhole(t *testing.T) {
	terms := []BillingTerm{{Start: Always, Zone: time.UTC}}
	account := func(id, parent string) *Account {
		return &Account{ID: id, Parent: parent, Billing: terms, Zone: time.UTC}
	}
	snap, err := NewSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		snap  *Snapshot
		chain []*Account
		good  bool
	}{
		"whole":       {snap, []*Account{account("a", "b"), account("b", "")}, true},
		"no snapshot": {nil, []*Account{account("a", "")}, false},
		"no account":  {snap, nil, false},
		"no parent":   {snap, []*Account{account("a", "b")}, false},
		"another":     {snap, []*Account{account("a", "b"), account("c", "")}, false},
		"no terms":    {snap, []*Account{{ID: "a", Zone: time.UTC}}, false},
		"no zone":     {snap, []*Account{{ID: "a", Billing: terms}}, false},
	} {
		if _, err := NewPlan(c.snap, c.chain); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlanOf: an account is there with all its parents, or it is not there; parents that do not end are a mistake.
func TestPlanOf(t *testing.T) {
	accounts := map[string]*Account{}
	for id, parent := range map[string]string{"a": "b", "b": "c", "c": "", "x": "gone", "y": "z", "z": "y", "self": "self"} {
		accounts[id] = &Account{ID: id, Parent: parent, Billing: []BillingTerm{{Start: Always, Zone: time.UTC}}, Zone: time.UTC}
	}
	snap, err := NewSnapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"a": "a b c", "b": "b c", "c": "c", "x": "none", "gone": "none", "y": "refused", "self": "refused"} {
		plan, err := PlanOf(snap, accounts, id)
		got := "none"
		switch {
		case err != nil:
			got = "refused"
		case plan != nil:
			var ids []string
			for _, a := range plan.Chain() {
				ids = append(ids, a.ID)
			}
			got = strings.Join(ids, " ")
		}
		if got != want {
			t.Errorf("%s: %s (%v), want %s", id, got, err, want)
		}
	}
}

// TestMalformedExchangeRates: what is stored and cannot be read is not passed over.
func TestMalformedExchangeRates(t *testing.T) {
	for body, good := range map[string]bool{
		`{"base":"EUR","date":"2026-01-01","rates":{"USD":"1.1"}}`: true,
		`{"rates":{}}`:                    true,
		`{"rates":{"USD":"1"}}`:           true,
		`{"rates":{"USD":"1.1"`:           false,
		`{"rates":{"":"1"}}`:              false,
		`{"rates":{"USD":""}}`:            false,
		`{"base":"EUR"}`:                  false,
		`{"rates":{"USD":"1.1"}`:          false,
		`{"rates":{"USD":"1.1"} }`:        false,
		`{"rates":{"USD"}}`:               false,
		`{"rates":{"USD":}}`:              false,
		`{"rates":{:"1.1"}}`:              false,
		`{"rates":{"USD":"x"}}`:           false,
		`{"rates":{"USD":"1.1","GBP":2}}`: false,
	} {
		_, err := NewSnapshot([]Row{{Ref: Ref{KindExchangeRates, "EUR@2026-01-01"}, Seq: 1, Body: []byte(body)}})
		if (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestPoolable: what is added up whatever the order can have its tiers shared.
func TestPoolable(t *testing.T) {
	for name, c := range map[string]struct {
		rate Rate
		want bool
	}{
		"graduated":           {Rate{Model: ModelGraduated}, true},
		"of a sum":            {Rate{Model: ModelVolume, Aggregation: AggregationSum}, true},
		"of a count":          {Rate{Model: ModelPackage, Aggregation: AggregationCount}, true},
		"of the largest":      {Rate{Model: ModelBlockVolume, Aggregation: AggregationMax}, true},
		"a free part":         {Rate{Model: ModelPerUnit}, true},
		"cells":               {Rate{Model: ModelMatrix}, true},
		"a capacity":          {Rate{Model: ModelCapacity}, true},
		"of the latest":       {Rate{Model: ModelGraduated, Aggregation: AggregationLatest}, false},
		"of a level":          {Rate{Model: ModelGraduated, Aggregation: AggregationTimeWeighted}, false},
		"whole events":        {Rate{Model: ModelGraduated, WholeEvents: true}, false},
		"units by day":        {Rate{Model: ModelGraduated, ProrateByDay: true}, false},
		"cells, whole events": {Rate{Model: ModelMatrix, WholeEvents: true}, false},
		"by itself":           {Rate{Model: ModelPercentage}, false},
		"flat":                {Rate{Model: ModelFlat}, false},
	} {
		if c.rate.Poolable() != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
}
