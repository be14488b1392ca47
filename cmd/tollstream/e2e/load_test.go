package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The stream of the big tests.
const (
	loadEvents   = 20_000
	loadAccounts = 200
	loadSpan     = 4 * time.Hour // of event time
)

// load is a catalogue and a stream of usage for it, with what it must come to.
type load struct {
	begin    time.Time // of event time
	accounts []loadAccount
	rates    map[string][]*rate // by product
	batches  []batch
	uses     []use
}

type loadAccount struct{ id, billed, phone, currency, zone string }

// batch is a request's body; a retry sends the same bytes.
type batch struct {
	contentType, encoding string
	body                  []byte
	events                int
}

// window finds a recent span of event time that lies in one month in every zone of the tests.
func window() time.Time {
	begin := time.Now().UTC().Truncate(time.Second).Add(-loadSpan - time.Hour)
	for {
		east, west := begin.Add(-14*time.Hour), begin.Add(loadSpan+14*time.Hour)
		if east.Month() == west.Month() {
			return begin
		}
		begin = begin.Add(-6 * time.Hour)
	}
}

// newLoad makes the stream from the random numbers.
func newLoad(random *rand.Rand, events int) *load {
	l := &load{begin: window()}
	change := l.begin.Add(loadSpan / 2)
	l.rates = map[string][]*rate{
		"api-calls": {{model: "graduated", tiers: []tier{{"100", "0.10", ""}, {"1000", "0.05", "2.5"}, {"", "0.0123", ""}}}},
		"egress":    {{model: "volume", tiers: []tier{{"50", "0.09", ""}, {"400", "0.07", "1"}, {"", "0.04", "3.25"}}}},
		"messages":  {{model: "package", size: "100", price: "7.5", free: "50"}},
		"compute":   {{model: "per_unit", unit: "0.00001237"}},
		"seats":     {{model: "flat", amount: "49.99"}},
		// The price changes in the middle: two segments.
		"storage": {
			{model: "graduated", tiers: []tier{{"500", "0.023", ""}, {"", "0.021", ""}}, end: change},
			{model: "graduated", tiers: []tier{{"400", "0.03", "0.5"}, {"", "0.025", ""}}, start: change},
		},
	}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"}
	for i := range loadAccounts {
		id := fmt.Sprintf("acc-%03d", i)
		a := loadAccount{id: id, billed: id, phone: fmt.Sprintf("+4930%06d", i), currency: "EUR", zone: zones[i%len(zones)]}
		if i%10 == 9 { // its parent pays
			a.billed, a.zone = l.accounts[i-1].id, l.accounts[i-1].zone
		}
		l.accounts = append(l.accounts, a)
	}
	products := []string{"api-calls", "egress", "messages", "compute", "seats", "storage"}
	for n := 0; n < events; {
		size := min(1+random.IntN(120), events-n)
		l.addBatch(random, products, n, size)
		n += size
	}
	return l
}

func (l *load) addBatch(random *rand.Rand, products []string, first, size int) {
	var plain, cloud []map[string]any
	for i := range size {
		a := l.accounts[(first+i)*7%loadAccounts]
		if random.IntN(10) == 0 {
			a = l.accounts[random.IntN(3)] // a few are hot
		}
		product := products[random.IntN(len(products))]
		at := l.begin.Add(time.Duration(random.Int64N(int64(loadSpan)))).Truncate(time.Millisecond)
		quantity := loadQuantity(random, product)
		u := use{billed: a.billed, account: a.id, product: product, quantity: quantity, at: at}
		id, name, when := "e-"+strconv.Itoa(first+i), a.id, at.Format(time.RFC3339Nano)
		if random.IntN(3) == 0 {
			name = a.phone
		}
		region := []string{"eu", "us", "ap"}[random.IntN(3)]
		if product == "compute" {
			u.group = region
		}
		l.uses = append(l.uses, u)
		plain = append(plain, map[string]any{
			"id": id, "source": "e2e", "account": name, "product": product, "time": when, "quantity": quantity, "attributes": map[string]any{"region": region},
		})
		cloud = append(cloud, map[string]any{
			"specversion": "1.0", "id": id, "source": "e2e", "subject": name, "type": product, "time": when,
			"data": map[string]any{"quantity": quantity, "region": region},
		})
	}
	l.batches = append(l.batches, written(len(l.batches), plain, cloud))
}

// loadQuantity is above zero; compute has as many decimals as a quantity may, so that its line has to be rounded.
func loadQuantity(random *rand.Rand, product string) string {
	switch product {
	case "compute":
		return fmt.Sprintf("%d.%012d", random.IntN(5000), 1+random.Int64N(999_999_999_999))
	case "messages", "api-calls":
		return strconv.Itoa(1 + random.IntN(40))
	}
	return fmt.Sprintf("%d.%03d", random.IntN(30), 1+random.IntN(999))
}

// written gives the body of the n-th batch in one of the shapes that the API takes.
func written(n int, plain, cloud []map[string]any) batch {
	encode := func(v any) []byte {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return text
	}
	lines := func() []byte {
		var b bytes.Buffer
		for _, e := range plain {
			b.Write(encode(e))
			b.WriteByte('\n')
		}
		return b.Bytes()
	}
	b := batch{events: len(plain)}
	switch n % 4 {
	case 0:
		b.contentType, b.body = "application/x-ndjson", lines()
	case 1:
		b.contentType, b.body = "application/json", encode(plain)
	case 2:
		b.contentType, b.body = "application/cloudevents-batch+json", encode(cloud)
	case 3:
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(lines()) // memory takes everything
		_ = z.Close()
		b.contentType, b.encoding, b.body = "application/x-ndjson", "gzip", packed.Bytes()
	}
	return b
}

// catalog is the document of the load.
func (l *load) catalog() map[string]any {
	var products, accounts []any
	for id, rates := range l.rates {
		p := map[string]any{"id": id}
		var list []any
		for _, r := range rates {
			list = append(list, r.document())
		}
		p["rates"] = list
		if id == "compute" {
			p["group_by"] = []string{"region"}
		}
		products = append(products, p)
	}
	for i, a := range l.accounts {
		d := map[string]any{"id": a.id, "currency": a.currency, "time_zone": a.zone, "identifiers": []string{a.phone}}
		if a.billed != a.id {
			d["parent"], d["bill_to"] = l.accounts[i-1].id, "parent"
		}
		accounts = append(accounts, d)
	}
	return map[string]any{"currency": "EUR", "seller": map[string]any{"id": "main", "name": "E2E"}, "products": products, "accounts": accounts}
}

// send delivers every batch, from several clients at once; who is not answered with 202 sends the same again. Every 50th batch
// is sent twice although it was acknowledged. after is called with the number of acknowledged events.
func (l *load) send(t testing.TB, addresses []string, key string, after func(acknowledged int)) {
	t.Helper()
	const clients = 4
	work := make(chan int)
	var acknowledged atomic.Int64
	var wait sync.WaitGroup
	for client := range clients {
		c := &caller{addresses[client%len(addresses)], key}
		wait.Go(func() {
			for n := range work {
				times := 1
				if n%50 == 7 {
					times = 2
				}
				for range times {
					if err := deliver(c, &l.batches[n]); err != nil {
						t.Errorf("batch %d: %v", n, err)
						continue
					}
				}
				sum := acknowledged.Add(int64(l.batches[n].events))
				if after != nil {
					after(int(sum))
				}
			}
		})
	}
	for n := range l.batches {
		work <- n
	}
	close(work)
	wait.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// deliver sends a batch until it is acknowledged.
func deliver(c *caller, b *batch) error {
	deadline := time.Now().Add(2 * patience)
	var last error
	for time.Now().Before(deadline) {
		header := []string{"Content-Type", b.contentType}
		if b.encoding != "" {
			header = append(header, "Content-Encoding", b.encoding)
		}
		res, err := c.do(http.MethodPost, "/v1/usage", bytes.NewReader(b.body), header...)
		switch {
		case err != nil:
			last = err
		case res.status == http.StatusAccepted:
			var answer struct {
				Accepted int
				Rejected []any
			}
			if err := json.Unmarshal(res.body, &answer); err != nil {
				return err
			}
			if answer.Accepted != b.events || len(answer.Rejected) > 0 {
				return fmt.Errorf("accepted %d of %d: %s", answer.Accepted, b.events, res.body)
			}
			return nil
		case res.status == http.StatusTooManyRequests || res.status == http.StatusServiceUnavailable:
			last = fmt.Errorf("%d %s", res.status, res.body)
		default:
			return fmt.Errorf("answered %d: %s", res.status, res.body)
		}
		pause(20 * time.Millisecond)
	}
	return fmt.Errorf("not acknowledged: %w", last)
}

// month is the UTC month of the load's event time.
func (l *load) month() string { return l.begin.Format("2006-01") }

// invoiceAt reads the invoice of the period that contains an instant: the live one where it does.
func (c *caller) invoiceAt(account string, at time.Time) (*invoice, error) {
	i := new(invoice)
	path := "/v1/accounts/" + url.PathEscape(account) + "/invoice"
	if err := c.get(path, nil, i); err != nil {
		return nil, err
	}
	if !at.Before(i.Period.Start) && at.Before(i.Period.End) {
		return i, nil
	}
	i = new(invoice)
	return i, c.get(path, url.Values{"period": {at.Format(time.RFC3339)}}, i)
}

// prove waits until every account's invoice is what the oracle says, and then holds the report store and reconcile against it.
func (l *load) prove(t testing.TB, c *caller) {
	t.Helper()
	bills := bill(l.uses, func(_, product string) []*rate { return l.rates[product] })
	if len(bills) != loadAccounts*9/10 {
		t.Fatalf("the stream reaches %d invoices", len(bills))
	}
	for account, want := range bills {
		eventually(t, "invoice of "+account, func() error {
			got, err := c.invoiceAt(account, l.begin)
			if err != nil {
				return err
			}
			return want.differs(got)
		})
	}
	c.proveReports(t, l.month(), bills)
	counts := c.proveReconciled(t, l.month())
	if counts.Rated != int64(len(l.uses)) || counts.Rejected != 0 {
		t.Errorf("reconcile counts %+v, want %d rated and none rejected", counts, len(l.uses))
	}
	t.Logf("reconciled: %+v", counts)
}

// proveReports compares the report store's sums by billed account.
func (c *caller) proveReports(t testing.TB, month string, bills map[string]*expectation) {
	t.Helper()
	eventually(t, "revenue report", func() error {
		got := map[string]*big.Rat{}
		for cursor := ""; ; {
			var page struct {
				Data []struct {
					Billed string `json:"billed_account"`
					Amount string `json:"amount"`
				}
				Next *string
			}
			query := url.Values{"period": {month}, "group_by": {"billed_account"}, "limit": {"150"}}
			if cursor != "" {
				query.Set("cursor", cursor)
			}
			if err := c.get("/v1/reports/revenue", query, &page); err != nil {
				return err
			}
			for _, row := range page.Data {
				amount, err := decimal(row.Amount)
				if err != nil {
					return err
				}
				if got[row.Billed] != nil {
					return fmt.Errorf("%s stands twice in the report", row.Billed)
				}
				got[row.Billed] = amount
			}
			if page.Next == nil {
				break
			}
			cursor = *page.Next
		}
		for account, want := range bills {
			if got[account] == nil || got[account].Cmp(want.total) != 0 {
				return fmt.Errorf("%s: %v, want %s", account, got[account], want.total.FloatString(12))
			}
		}
		if len(got) != len(bills) {
			return fmt.Errorf("%d accounts, want %d", len(got), len(bills))
		}
		return nil
	})
}

// counts are reconcile's, over all partitions.
type counts struct{ Accepted, Retried, Rated, Duplicates, Rejected int64 }

// proveReconciled runs the command until the month agrees; it may be behind for a moment.
func (c *caller) proveReconciled(t testing.TB, month string) (sum counts) {
	t.Helper()
	eventually(t, "reconcile", func() error {
		out, errs, code := c.command(t, "", "reconcile", "--deep", "--period", month, "--output", "json")
		if code != 0 {
			return errors.New(errs)
		}
		var answer struct {
			Agrees     bool
			Partitions []counts
		}
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			return err
		}
		if !answer.Agrees {
			return errors.New("exit code 0, and it does not agree")
		}
		sum = counts{}
		for _, p := range answer.Partitions {
			sum.Accepted += p.Accepted
			sum.Retried += p.Retried
			sum.Rated += p.Rated
			sum.Duplicates += p.Duplicates
			sum.Rejected += p.Rejected
		}
		return nil
	})
	return sum
}
