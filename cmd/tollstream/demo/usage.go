package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Source is the source of all usage of the demo.
const Source = "demo"

// event is a usage event as it is sent.
type event struct {
	ID         string            `json:"id"`
	Source     string            `json:"source"`
	Account    string            `json:"account"`
	Product    string            `json:"product"`
	Time       time.Time         `json:"time"`
	Quantity   string            `json:"quantity"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// company is an account of the price book.
type company struct {
	account, name string
	billedTo      string // "": itself
	zone          string
}

var companies = []company{
	{account: "nordwind", name: "Nordwind Holding AG, which pays for Nordwind Logistik GmbH too", zone: "Europe/Berlin"},
	{account: "nordwind-logistik", name: "Nordwind Logistik GmbH", billedTo: "nordwind", zone: "Europe/Berlin"},
	{account: "harbor", name: "Harbor Analytics Inc.", zone: "America/New_York"},
}

// stream is the usage of one product by one company.
type stream struct {
	company   int
	names     []string // what the account is called in events
	product   string
	perMinute int // events in the busiest hour
	// The quantity of an event lies between low and high thousandths.
	low, high int64
	whole     bool // quantities are whole numbers
	attribute string
	values    []string // a value that stands twice comes twice as often
}

var vehicles = []string{"+491713920001", "+491713920002", "+491713920003", "+491713920004", "+491713920005", "+491713920006"}

var streams = []stream{
	{company: 0, names: []string{"nordwind"}, product: "api.requests", perMinute: 420, low: 1_000, high: 20_000, whole: true, attribute: "endpoint", values: []string{"orders", "orders", "stock"}},
	{company: 0, names: []string{"nordwind"}, product: "compute", perMinute: 240, low: 10_000, high: 120_000, whole: true, attribute: "region", values: []string{"eu-central", "eu-central", "eu-west"}},
	{company: 0, names: []string{"nordwind"}, product: "egress", perMinute: 180, low: 1, high: 50, attribute: "region", values: []string{"eu-central", "eu-central", "eu-west"}},
	{company: 0, names: []string{"nordwind"}, product: "object-storage", perMinute: 30, low: 60_000, high: 140_000, whole: true},
	{company: 1, names: vehicles, product: "voice", perMinute: 120, low: 15_000, high: 180_000, whole: true, attribute: "destination", values: []string{"DE", "DE", "DE", "DE", "AT", "FR", "PL"}},
	{company: 1, names: vehicles, product: "lte", perMinute: 600, low: 10, high: 2_000},
	{company: 1, names: vehicles, product: "sms", perMinute: 90, low: 1_000, high: 1_000, whole: true},
	{company: 1, names: []string{"nordwind-logistik"}, product: "sip-trunk", perMinute: 1, low: 1_000, high: 1_000, whole: true, attribute: "trunk", values: []string{"berlin", "hamburg", "muenchen"}},
	{company: 2, names: []string{"harbor"}, product: "api-calls", perMinute: 540, low: 1_000, high: 25_000, whole: true, attribute: "endpoint", values: []string{"query", "query", "query", "export"}},
	{company: 2, names: []string{"harbor"}, product: "compute.vcpu_seconds", perMinute: 240, low: 10_000, high: 120_000, whole: true, attribute: "region", values: []string{"us-east", "us-east", "us-west", "eu-central"}},
	{company: 2, names: []string{"harbor"}, product: "egress", perMinute: 120, low: 1, high: 60, attribute: "region", values: []string{"us-east", "us-east", "us-west"}},
	{company: 2, names: []string{"harbor"}, product: "object-storage", perMinute: 24, low: 80_000, high: 160_000, whole: true},
	{company: 2, names: []string{"+12125550100", "+12125550101"}, product: "sms", perMinute: 30, low: 1_000, high: 1_000, whole: true},
}

// mistakes are usage that nobody can price, for the operators' page.
var mistakes = []struct{ account, product string }{
	{"nordwind", "iot.telemetry"},        // product_unknown
	{"+493023125999", "call"},            // account_unknown
	{"harbor", "roaming"},                // no_rate: it has a price in EUR only
	{"nordwind-logistik", "fax-gateway"}, // not_provisioned
}

// rhythm is how busy each local hour is, in percent of the busiest.
var rhythm = [24]int{48, 46, 45, 45, 46, 50, 58, 70, 84, 94, 99, 100, 96, 97, 100, 98, 94, 88, 80, 74, 68, 62, 56, 51}

const weekend = 85 // percent of a working day

var zones = loadZones()

func loadZones() []*time.Location {
	all := make([]*time.Location, len(companies))
	for i, c := range companies {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			zone = time.UTC // a machine without zone data gets another rhythm, nothing else
		}
		all[i] = zone
	}
	return all
}

// busy is how busy a company is at an instant, in percent.
func busy(company int, t time.Time) int {
	local := t.In(zones[company])
	percent := rhythm[local.Hour()]
	if day := local.Weekday(); day == time.Saturday || day == time.Sunday {
		percent = percent * weekend / 100
	}
	return percent
}

// The streams of random numbers.
const (
	seedLive    = 0x746f6c6c
	seedHistory = 0x68697374
)

func random(seed uint64, t time.Time) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(t.Unix())))
}

// mistakeEvery is the time between two mistakes.
const mistakeEvery = 10 * time.Minute

// eventsIn is the usage of the second that begins at t.
func eventsIn(t time.Time) []event {
	r := random(seedLive, t)
	var all []event
	add := func(account, product string, quantity string, attributes map[string]string) {
		all = append(all, event{
			ID: fmt.Sprintf("%s%d-%d", livePrefix, t.Unix(), len(all)), Source: Source, Account: account, Product: product,
			Time: t.Add(time.Duration(r.IntN(1000)) * time.Millisecond), Quantity: quantity, Attributes: attributes,
		})
	}
	for i := range streams {
		s := &streams[i]
		const parts = 60 * 100 // of a second at the busiest
		expected := s.perMinute * busy(s.company, t)
		n := expected / parts
		if r.IntN(parts) < expected%parts {
			n++
		}
		for range n {
			add(s.names[r.IntN(len(s.names))], s.product, s.text(s.low+r.Int64N(s.high-s.low+1)), s.attributes(r.IntN(max(len(s.values), 1))))
		}
	}
	if n := t.Unix(); n%int64(mistakeEvery/time.Second) == 0 {
		m := mistakes[int(n/int64(mistakeEvery/time.Second))%len(mistakes)]
		add(m.account, m.product, "1", nil)
	}
	return all
}

// The beginnings of ids tell the usage of a second from that of an hour.
const (
	livePrefix    = "s-"
	historyPrefix = "h-"
)

// historyIn is the usage of the past hour that begins at t, gathered as a mediation system would: one event for each stream
// and value of its attribute.
func historyIn(t time.Time) []event {
	r := random(seedHistory, t)
	id := historyPrefix + t.UTC().Format("2006010215")
	middle := t.Add(30 * time.Minute)
	var all []event
	add := func(account, product, quantity string, attributes map[string]string) {
		all = append(all, event{
			ID: fmt.Sprintf("%s-%d", id, len(all)), Source: Source, Account: account, Product: product, Time: middle, Quantity: quantity, Attributes: attributes,
		})
	}
	for i := range streams {
		s := &streams[i]
		perHour := int64(s.perMinute) * 60 * int64(busy(s.company, t)) / 100 * (s.low + s.high) / 2
		for v, share := range s.shares() {
			jitter := 85 + r.Int64N(31) // percent
			quantity := perHour / int64(max(len(s.values), 1)) * int64(share) / 100 * jitter
			if share > 0 && quantity > 0 {
				add(s.names[r.IntN(len(s.names))], s.product, s.text(quantity), s.attributes(v))
			}
		}
	}
	if t.UTC().Hour() == 12 {
		m := mistakes[t.UTC().YearDay()%len(mistakes)]
		add(m.account, m.product, "1", nil)
	}
	return all
}

// shares says for each value how often it stands in the list, at its first place.
func (s *stream) shares() []int {
	if len(s.values) == 0 {
		return []int{1}
	}
	shares := make([]int, len(s.values))
	first := map[string]int{}
	for i, v := range s.values {
		if _, seen := first[v]; !seen {
			first[v] = i
		}
		shares[first[v]]++
	}
	return shares
}

func (s *stream) attributes(value int) map[string]string {
	if len(s.values) == 0 {
		return nil
	}
	return map[string]string{s.attribute: s.values[value]}
}

// text writes thousandths as a decimal.
func (s *stream) text(thousandths int64) string {
	if s.whole {
		return fmt.Sprint(thousandths / 1000)
	}
	return fmt.Sprintf("%d.%03d", thousandths/1000, thousandths%1000)
}
