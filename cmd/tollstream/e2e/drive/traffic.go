package drive

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// Span is the event time that a stream covers.
const Span = 4 * time.Hour

// Traffic is a catalogue and a stream of usage for it.
type Traffic struct {
	Begin    time.Time // of event time
	Accounts []Account
	Rates    map[string][]*oracle.Rate // by product
	random   *rand.Rand
	products []string
	events   int // made so far
	batches  int
}

// Account is one that uses something; every tenth is paid for by its parent.
type Account struct{ ID, Billed, Phone, Currency, Zone string }

// Batch is a request's body; a retry sends the same bytes.
type Batch struct {
	ContentType, Encoding string
	Body                  []byte
	Events                int
}

// Window finds a recent span of event time that lies in one month in every zone of the accounts.
func Window() time.Time {
	begin := time.Now().UTC().Truncate(time.Second).Add(-Span - time.Hour)
	for {
		east, west := begin.Add(-14*time.Hour), begin.Add(Span+14*time.Hour)
		if east.Month() == west.Month() {
			return begin
		}
		begin = begin.Add(-6 * time.Hour)
	}
}

// NewTraffic makes the catalogue; the stream follows from the random numbers.
func NewTraffic(random *rand.Rand, accounts int) *Traffic {
	t := &Traffic{Begin: Window(), random: random, products: []string{"api-calls", "egress", "messages", "compute", "seats", "storage"}}
	change := t.Begin.Add(Span / 2)
	t.Rates = map[string][]*oracle.Rate{
		"api-calls": {{Model: "graduated", Tiers: []oracle.Tier{{UpTo: "100", Unit: "0.10"}, {UpTo: "1000", Unit: "0.05", Flat: "2.5"}, {Unit: "0.0123"}}}},
		"egress":    {{Model: "volume", Tiers: []oracle.Tier{{UpTo: "50", Unit: "0.09"}, {UpTo: "400", Unit: "0.07", Flat: "1"}, {Unit: "0.04", Flat: "3.25"}}}},
		"messages":  {{Model: "package", Size: "100", Price: "7.5", Free: "50"}},
		"compute":   {{Model: "per_unit", Unit: "0.00001237"}},
		"seats":     {{Model: "flat", Amount: "49.99"}},
		// The price changes in the middle: two segments.
		"storage": {
			{Model: "graduated", Tiers: []oracle.Tier{{UpTo: "500", Unit: "0.023"}, {Unit: "0.021"}}, End: change},
			{Model: "graduated", Tiers: []oracle.Tier{{UpTo: "400", Unit: "0.03", Flat: "0.5"}, {Unit: "0.025"}}, Start: change},
		},
	}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"}
	for i := range accounts {
		id := fmt.Sprintf("acc-%03d", i)
		a := Account{ID: id, Billed: id, Phone: fmt.Sprintf("+4930%06d", i), Currency: "EUR", Zone: zones[i%len(zones)]}
		if i%10 == 9 { // its parent pays
			a.Billed, a.Zone = t.Accounts[i-1].ID, t.Accounts[i-1].Zone
		}
		t.Accounts = append(t.Accounts, a)
	}
	return t
}

// Next makes the next batch of the stream and says what it uses.
func (t *Traffic) Next(size int) (Batch, []oracle.Use) {
	var plain, cloud []map[string]any
	uses := make([]oracle.Use, 0, size)
	for range size {
		a := t.Accounts[t.events*7%len(t.Accounts)]
		if t.random.IntN(10) == 0 {
			a = t.Accounts[t.random.IntN(3)] // a few are hot
		}
		product := t.products[t.random.IntN(len(t.products))]
		at := t.Begin.Add(time.Duration(t.random.Int64N(int64(Span)))).Truncate(time.Millisecond)
		quantity := someQuantity(t.random, product)
		u := oracle.Use{Billed: a.Billed, Account: a.ID, Product: product, Quantity: quantity, At: at}
		id, name, when := "e-"+strconv.Itoa(t.events), a.ID, at.Format(time.RFC3339Nano)
		if t.random.IntN(3) == 0 {
			name = a.Phone
		}
		region := []string{"eu", "us", "ap"}[t.random.IntN(3)]
		if product == "compute" {
			u.Group = region
		}
		uses = append(uses, u)
		plain = append(plain, map[string]any{
			"id": id, "source": "e2e", "account": name, "product": product, "time": when, "quantity": quantity, "attributes": map[string]any{"region": region},
		})
		cloud = append(cloud, map[string]any{
			"specversion": "1.0", "id": id, "source": "e2e", "subject": name, "type": product, "time": when,
			"data": map[string]any{"quantity": quantity, "region": region},
		})
		t.events++
	}
	t.batches++
	return written(t.batches-1, plain, cloud), uses
}

// someQuantity is above zero; compute has as many decimals as a quantity may, so that its line has to be rounded.
func someQuantity(random *rand.Rand, product string) string {
	switch product {
	case "compute":
		return fmt.Sprintf("%d.%012d", random.IntN(5000), 1+random.Int64N(999_999_999_999))
	case "messages", "api-calls":
		return strconv.Itoa(1 + random.IntN(40))
	}
	return fmt.Sprintf("%d.%03d", random.IntN(30), 1+random.IntN(999))
}

// written gives the body of the n-th batch in one of the shapes that the API takes.
func written(n int, plain, cloud []map[string]any) Batch {
	b := Batch{Events: len(plain)}
	switch n % 4 {
	case 0:
		b.ContentType, b.Body = "application/x-ndjson", lines(plain)
	case 1:
		b.ContentType, b.Body = "application/json", encode(plain)
	case 2:
		b.ContentType, b.Body = "application/cloudevents-batch+json", encode(cloud)
	case 3:
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(lines(plain)) // memory takes everything
		_ = z.Close()
		b.ContentType, b.Encoding, b.Body = "application/x-ndjson", "gzip", packed.Bytes()
	}
	return b
}

func lines(events []map[string]any) []byte {
	var b bytes.Buffer
	for _, e := range events {
		b.Write(encode(e))
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// RatesOf gives the rates of an account's product, for the oracle.
func (t *Traffic) RatesOf(_, product string) []*oracle.Rate { return t.Rates[product] }

// Catalog is the document of the stream's products and accounts.
func (t *Traffic) Catalog() map[string]any {
	var products, accounts []any
	for id, rates := range t.Rates {
		p := map[string]any{"id": id}
		var list []any
		for _, r := range rates {
			list = append(list, r.Document())
		}
		p["rates"] = list
		if id == "compute" {
			p["group_by"] = []string{"region"}
		}
		products = append(products, p)
	}
	for i, a := range t.Accounts {
		d := map[string]any{"id": a.ID, "currency": a.Currency, "time_zone": a.Zone, "identifiers": []string{a.Phone}}
		if a.Billed != a.ID {
			d["parent"], d["bill_to"] = t.Accounts[i-1].ID, "parent"
		}
		accounts = append(accounts, d)
	}
	return map[string]any{"currency": "EUR", "seller": map[string]any{"id": "main", "name": "E2E"}, "products": products, "accounts": accounts}
}

// Month is the UTC month of the stream's event time.
func (t *Traffic) Month() string { return t.Begin.Format("2006-01") }
