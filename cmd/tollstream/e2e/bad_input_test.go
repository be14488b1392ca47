package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/big"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// answer is what the sender of usage is told, or why a request failed.
type answer struct {
	Accepted int
	Rejected []struct {
		Index             int
		ID, Code, Message string
	}
	Detail string // of a problem
}

// usage sends a body and reads what came back, whatever it was.
func (c *caller) usage(t testing.TB, body []byte, header ...string) (int, *answer) {
	t.Helper()
	res := c.answered(t, http.MethodPost, "/v1/usage", body, header...)
	a := new(answer)
	if err := json.Unmarshal(res.Body, a); err != nil {
		t.Fatalf("answer %d %q is not JSON: %v", res.Status, res.Body, err)
	}
	return res.Status, a
}

// eventTime is when the usage of the smaller tests happened; all of it lies in one period.
var eventTime = drive.Window()

// event writes one event; members in pairs replace those of a good one, nil removes.
func event(id string, members ...any) map[string]any {
	e := map[string]any{"id": id, "source": "gate", "account": "acme", "product": "calls", "quantity": "2", "time": eventTime.Format(time.RFC3339)}
	for i := 0; i+1 < len(members); i += 2 {
		name := members[i].(string) //nolint:forcetypeassert // the tests' own
		if members[i+1] == nil {
			delete(e, name)
			continue
		}
		e[name] = members[i+1]
	}
	return e
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// mustAccept sends events that have to be accepted.
func (c *caller) mustAccept(t testing.TB, events ...map[string]any) {
	t.Helper()
	if status, a := c.usage(t, encode(events), "Content-Type", "application/json"); status != 202 || a.Accepted != len(events) {
		t.Fatalf("good usage: %d %+v", status, a)
	}
}

func packed(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // memory takes everything
	_ = z.Close()
	return b.Bytes()
}

var smallCatalog = map[string]any{
	"currency": "EUR", "seller": map[string]any{"id": "main", "name": "E2E"},
	"products": []any{
		map[string]any{"id": "calls", "rates": []any{map[string]any{"model": "per_unit", "unit_price": "0.25"}}},
		map[string]any{"id": "locked", "provisioned_only": true, "rates": []any{map[string]any{"model": "per_unit", "unit_price": "1"}}},
	},
	"accounts": []any{
		map[string]any{"id": "acme", "currency": "EUR", "time_zone": "UTC"},
		map[string]any{"id": "swiss", "currency": "CHF", "time_zone": "UTC"},
	},
}

// refused are requests that are answered without anything of them being accepted.
func refused(ingest, customer string) []struct {
	name   string
	body   []byte
	header []string
	key    string
	status int
	code   string // of the only event; "": of the whole request
	says   string
} {
	one := func(members ...any) []byte { return encode(event("bad", members...)) }
	raw := func(text string) []byte { return []byte(text) }
	many := bytes.Repeat([]byte(`{"id":"m","account":"acme","product":"calls"}`+"\n"), 10_001)
	filler := bytes.Repeat([]byte(" "), 9<<20)
	lines := []string{"Content-Type", "application/x-ndjson"}
	zipped := []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}
	return []struct {
		name   string
		body   []byte
		header []string
		key    string
		status int
		code   string
		says   string
	}{
		{"not JSON", raw("hello"), nil, "", 202, "json_invalid", ""},
		{"empty", nil, nil, "", 202, "json_invalid", ""},
		{"torn object", raw(`{"id": "bad", "account": "acme"`), nil, "", 202, "json_invalid", ""},
		{"torn array", raw(`[{"id": "bad", "account": "acme", "product": "calls"}`), nil, "", 400, "", "nothing of it was accepted"},
		{"a number", raw("5"), nil, "", 202, "event_invalid", ""},
		{"account is a number", one("account", 5), nil, "", 202, "account_invalid", "must be a string"},
		{"quantity is a list", one("quantity", []int{1}), nil, "", 202, "quantity_invalid", "decimal"},
		{"no id", one("id", nil), nil, "", 202, "id_missing", ""},
		{"no account", one("account", nil), nil, "", 202, "account_missing", ""},
		{"no product", one("product", nil), nil, "", 202, "product_missing", ""},
		{"unknown member", one("quantities", "3"), nil, "", 202, "member_unknown", "quantities"},
		{"above 10^15", one("quantity", "1000000000000001"), nil, "", 202, "quantity_invalid", "10^15"},
		{"13 decimals", one("quantity", "0.0000000000001"), nil, "", 202, "quantity_invalid", "12 decimals"},
		{"NaN in a string", one("quantity", "NaN"), nil, "", 202, "quantity_invalid", "NaN"},
		{"NaN", raw(`{"id": "bad", "account": "acme", "product": "calls", "quantity": NaN}`), nil, "", 202, "quantity_invalid", ""},
		{"time without zone", one("time", "2026-11-21T10:00:00"), nil, "", 202, "time_invalid", "no zone"},
		{"30 February", one("time", "2026-02-30T10:00:00Z"), nil, "", 202, "time_invalid", ""},
		{"year 1600", one("time", "1600-01-01T00:00:00Z"), nil, "", 202, "time_invalid", "1700"},
		{"unknown currency", one("amount", "5", "currency", "XYZ"), nil, "", 202, "currency_invalid", "XYZ"},
		{"broken UTF-8", raw("{\"id\": \"bad\", \"account\": \"ac\xffme\", \"product\": \"calls\"}"), nil, "", 202, "utf8_invalid", "UTF-8"},
		{"9 MiB", filler, nil, "", 413, "", "at most"},
		{"10,001 events", many, lines, "", 413, "", "10000 events"},
		{"gzip bomb", packed(bytes.Repeat([]byte(" "), 200<<20)), zipped, "", 413, "", "more than"},
		{"gzip that is none", raw("{}"), zipped, "", 415, "", "gzip"},
		{"torn gzip", packed(one())[:20], zipped, "", 415, "", ""},
		{"unknown encoding", one(), []string{"Content-Encoding", "br"}, "", 415, "", "gzip"},
		{"unknown type", one(), []string{"Content-Type", "text/csv"}, "", 415, "", "application/x-ndjson"},
		{"no key", one(), nil, "none", 401, "", ""},
		{"wrong key", one(), nil, ingest[:len(ingest)-1] + "~", 401, "", ""},
		{"wrong role", one(), nil, customer, 403, "", "usage:send"},
	}
}

func TestBadInputDisturbsNothing(t *testing.T) {
	_, admin, _ := embedded(t)
	admin.apply(t, smallCatalog)
	keys := map[string]*caller{}
	for role, account := range map[string]string{"ingest": "", "customer": "acme"} {
		var key struct{ Key string }
		if err := admin.Call(http.MethodPost, "/v1/keys", map[string]any{"name": role, "role": role, "account": account}, &key); err != nil {
			t.Fatal(err)
		}
		keys[role] = newCaller(admin.Address, key.Key)
	}
	ingest := keys["ingest"]
	good := 0
	sendGood := func(t *testing.T) {
		t.Helper()
		good++
		ingest.mustAccept(t, event(fmt.Sprintf("good-%d", good)))
	}
	for _, c := range refused(ingest.Key, keys["customer"].Key) {
		t.Run(c.name, func(t *testing.T) {
			sendGood(t)
			from := *ingest
			switch c.key {
			case "":
			case "none":
				from.Key = ""
			default:
				from.Key = c.key
			}
			status, a := from.usage(t, c.body, c.header...)
			said := a.Detail
			if c.code != "" {
				if len(a.Rejected) != 1 || a.Rejected[0].Code != c.code || a.Rejected[0].Index != 0 {
					t.Fatalf("answered %d %+v, want code %s", status, a, c.code)
				}
				said = a.Rejected[0].Message
			}
			if status != c.status || a.Accepted != 0 || !strings.Contains(said, c.says) || said == "" {
				t.Errorf("answered %d %+v, want %d that says %q", status, a, c.status, c.says)
			}
			sendGood(t)
		})
	}
	// One bad event of several does not take the others with it.
	status, a := ingest.usage(t, encode([]any{event("good-a"), event("x", "quantity", "1e"), event("good-b")}))
	if status != 202 || a.Accepted != 2 || len(a.Rejected) != 1 || a.Rejected[0].Index != 1 || a.Rejected[0].ID != "x" {
		t.Errorf("a bad event among good ones: %d %+v", status, a)
	}
	good += 2
	ingest.mustAccept(t, event("back", "quantity", "-3")) // what was used too much is taken back
	if res, err := ingest.Do(http.MethodGet, "/v1/accounts/acme/invoice", nil); err != nil || res.Status != http.StatusForbidden {
		t.Errorf("an ingest key reads an invoice: %v %v", res, err)
	}
	good += uploadTorn(t, admin)
	quantity := oracle.Rat(fmt.Sprint(2*good - 3))
	want := &oracle.Expectation{Lines: map[string]*oracle.ExpectedLine{"acme calls": {
		Amount: quantity.Mul(quantity, oracle.Rat("0.25")), Quantity: oracle.Rat(fmt.Sprint(2*good - 3)), Events: good + 1,
	}}}
	want.Total = want.Lines["acme calls"].Amount
	eventually(t, "only good usage is billed", func() error {
		got, err := keys["customer"].InvoiceAt("acme", eventTime)
		if err != nil {
			return err
		}
		return want.Differs(got)
	})
	rejectedThenRetried(t, admin, want)
	admin.proveReconciled(t, eventTime.Format("2006-01"))
}

// upload sends a file to a collector and returns the run.
func (c *caller) upload(t testing.TB, collector, file string, content []byte, query string) *collectorRun {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", file)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write(content) // memory takes everything
	_ = form.Close()
	res, err := c.Do(http.MethodPost, "/v1/collectors/"+collector+"/files"+query, &body, "Content-Type", form.FormDataContentType())
	if err != nil || res.Status != http.StatusOK {
		t.Fatalf("upload %s: %v %+v", file, err, res)
	}
	r := new(collectorRun)
	if err := json.Unmarshal(res.Body, r); err != nil {
		t.Fatal(err)
	}
	return r
}

type collectorRun struct {
	ID, State           string
	Rows, Accepted, Bad int
	BadRows             []struct {
		Line         int
		Code, Reason string
	} `json:"bad_rows"`
}

// uploadTorn uploads a file whose last line is torn, and returns how many good events it held.
func uploadTorn(t *testing.T, admin *caller) int {
	t.Helper()
	config := map[string]any{
		"format":  map[string]any{"type": "delimited", "header": true},
		"mapping": map[string]any{"id": "id", "account": "account", "product": map[string]any{"value": "calls"}, "quantity": "quantity", "time": map[string]any{"value": eventTime.Format(time.RFC3339), "layout": "2006-01-02T15:04:05Z07:00"}},
	}
	if err := admin.Call(http.MethodPut, "/v1/collectors/torn", config, nil); err != nil {
		t.Fatal(err)
	}
	run := admin.upload(t, "torn", "torn.csv", []byte("id,account,quantity\nt-1,acme,2\nt-2,acme,2\nt-3,ac"), "")
	if run.State != "done" || run.Rows != 3 || run.Accepted != 2 || run.Bad != 1 || len(run.BadRows) != 1 {
		t.Fatalf("a torn file: %+v", run)
	}
	if b := run.BadRows[0]; b.Line != 4 || b.Code != "row_invalid" || !strings.Contains(b.Reason, "torn") {
		t.Errorf("the torn row: %+v", b)
	}
	// The same file again is known; the repaired one brings the third row only.
	if again := admin.upload(t, "torn", "again.csv", []byte("id,account,quantity\nt-1,acme,2\nt-2,acme,2\nt-3,ac"), ""); again.Accepted != 2 || again.ID != run.ID {
		t.Errorf("the same file again: %+v", again)
	}
	if fixed := admin.upload(t, "torn", "fixed.csv", []byte("id,account,quantity\nt-1,acme,2\nt-2,acme,2\nt-3,acme,2\n"), ""); fixed.Accepted != 3 || fixed.Bad != 0 {
		t.Errorf("the repaired file: %+v", fixed)
	}
	return 3
}

// rejectedPage is the list of rejected usage.
type rejectedPage struct {
	Data []struct{ Reason, ID, Account, Product string }
}

// rejectedThenRetried sends usage that is accepted and cannot be rated, mends the catalogue and tries again.
func rejectedThenRetried(t *testing.T, admin *caller, want *oracle.Expectation) {
	t.Helper()
	now := time.Now().UTC()
	admin.mustAccept(t,
		event("no-account", "account", "nobody"), event("no-product", "product", "faxes"), event("no-rate", "account", "swiss"),
		event("locked", "product", "locked"), event("good-1", "quantity", "7"),
		event("old", "time", now.AddDate(0, 0, -36).Format(time.RFC3339)), event("new", "time", now.Add(2*time.Hour).Format(time.RFC3339)),
	)
	reasons := map[string]string{
		"no-account": "account_unknown", "no-product": "product_unknown", "no-rate": "no_rate", "locked": "not_provisioned",
		"good-1": "duplicate_conflict", "old": "too_old", "new": "too_new",
	}
	listIs := func(what string, reasons map[string]string) {
		t.Helper()
		eventually(t, what, func() error {
			var page rejectedPage
			if err := admin.Get("/v1/rejected", nil, &page); err != nil {
				return err
			}
			if len(page.Data) != len(reasons) {
				return fmt.Errorf("%d rejected, want %d: %+v", len(page.Data), len(reasons), page.Data)
			}
			for _, r := range page.Data {
				if reasons[r.ID] != r.Reason {
					return fmt.Errorf("%s is rejected with %s, want %s", r.ID, r.Reason, reasons[r.ID])
				}
			}
			return nil
		})
	}
	listIs("each with its reason", reasons)
	admin.apply(t, map[string]any{
		"products": []any{map[string]any{"id": "faxes", "rates": []any{map[string]any{"model": "per_unit", "unit_price": "3"}}}},
		"accounts": []any{map[string]any{"id": "nobody", "currency": "EUR", "time_zone": "UTC"}},
	})
	// Once the change was answered, usage is rated under it.
	admin.mustAccept(t, event("now-known", "account", "nobody"))
	retry := func(body string) {
		if res := admin.answered(t, http.MethodPost, "/v1/rejected/retry", []byte(body), "Content-Type", "application/json"); res.Status >= 300 {
			t.Errorf("retry: %+v", res)
		}
	}
	retry(`{"reason": "product_unknown"}`)
	retry(`{"reason": "account_unknown"}`)
	retry(`{"reason": "account_unknown"}`)
	delete(reasons, "no-product")
	delete(reasons, "no-account")
	listIs("what was mended leaves the list", reasons)
	// The client, too, sends it again.
	admin.mustAccept(t, event("no-account", "account", "nobody"), event("no-product", "product", "faxes"))
	retry(`{}`) // what was not mended comes back
	listIs("the rest is rejected again", reasons)
	want.Lines["acme faxes"] = &oracle.ExpectedLine{Amount: oracle.Rat("6"), Quantity: oracle.Rat("2"), Events: 1}
	want.Total = new(big.Rat).Add(want.Total, oracle.Rat("6"))
	other := &oracle.Expectation{Total: oracle.Rat("1"), Lines: map[string]*oracle.ExpectedLine{"nobody calls": {Amount: oracle.Rat("1"), Quantity: oracle.Rat("4"), Events: 2}}}
	for account, want := range map[string]*oracle.Expectation{"acme": want, "nobody": other} {
		eventually(t, "billed once after the retry: "+account, func() error {
			got, err := admin.InvoiceAt(account, eventTime)
			if err != nil {
				return err
			}
			return want.Differs(got)
		})
	}
}
