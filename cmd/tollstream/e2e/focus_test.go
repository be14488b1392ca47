package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// The figures of the file, worked out beforehand from the CSV with exact fractions.
const (
	focusRows       = 1000
	focusExact      = 509 // list cost = quantity × list price
	focusExactAt12  = 3   // so at 12 decimals
	focusRounded    = 456 // the provider rounded its cost to 10 decimals
	focusScaled     = 31  // Microsoft's quantity is in units of 10,000 twice over: list cost = quantity × price × 10,000
	focusNoPrice    = 1   // a credit, with no price
	focusNoSkuPrice = 7   // rows of Oracle: no SkuPriceId, their SkuId names the price
)

// focusRow is one row of a bill.
type focusRow struct {
	id, account, sku, skuPrice, region, start string
	quantity, price, cost                     string
	line                                      int // in the file, the header is line 1
	text                                      []string
}

// product is the id of the price that the row was billed at.
func (r *focusRow) product() string {
	if r.skuPrice == "" {
		return r.sku
	}
	return r.skuPrice
}

func readFocus(t *testing.T) (header []string, rows []focusRow, content []byte) {
	t.Helper()
	path := os.Getenv("TOLLSTREAM_TEST_FOCUS")
	if path == "" {
		path = filepath.Join(repository, "..", "shared", "data", "focus", "focus_sample.csv")
	}
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Skipf("the FOCUS sample is not at %s: it is not part of the repository; name it in TOLLSTREAM_TEST_FOCUS", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(bytes.NewReader(content))
	header, err = r.Read()
	if err != nil {
		t.Fatal(err)
	}
	for {
		text, err := r.Read()
		if err != nil {
			break
		}
		line, _ := r.FieldPos(0)
		get := func(column string) string { return text[slices.Index(header, column)] }
		rows = append(rows, focusRow{
			id: get("Id"), account: get("SubAccountId"), sku: get("SkuId"), skuPrice: get("SkuPriceId"), region: get("RegionId"),
			start: get("ChargePeriodStart"), quantity: get("PricingQuantity"), price: get("ListUnitPrice"), cost: get("ListCost"), line: line, text: text,
		})
	}
	return header, rows, content
}

// judge says why a row's list cost is not quantity × price; "" when it is.
func (r *focusRow) judge() string {
	if r.price == "NULL" {
		return "no price"
	}
	exact := new(big.Rat).Mul(oracle.Rat(r.quantity), oracle.Rat(r.price))
	off := new(big.Rat).Sub(oracle.Rat(r.cost), exact)
	switch {
	case off.Sign() == 0:
		return ""
	case oracle.Round(exact).Cmp(oracle.Rat(r.cost)) == 0:
		return "at 12 decimals"
	case off.Abs(off).Cmp(oracle.Rat("0.0000000001")) <= 0:
		return "rounded by the provider"
	}
	if new(big.Rat).Mul(exact, oracle.Rat("10000")).Cmp(oracle.Rat(r.cost)) == 0 {
		return "quantity 10,000 times too small"
	}
	return "unexplained"
}

// focusCatalog makes a product of each price and an account of each sub-account. Their ids are identifiers: an id of ours holds no slash.
func focusCatalog(t *testing.T, rows []focusRow) (document map[string]any, accounts, products map[string]string) {
	t.Helper()
	accounts, products = map[string]string{}, map[string]string{}
	var accountList, productList []any
	prices := map[string]string{}
	for i := range rows {
		r := &rows[i]
		if accounts[r.account] == "" {
			id := fmt.Sprintf("sub-%02d", len(accounts)+1)
			accounts[r.account] = id
			accountList = append(accountList, map[string]any{"id": id, "currency": "USD", "time_zone": "UTC", "identifiers": []string{r.account}})
		}
		name := r.product()
		if r.price == "NULL" {
			continue
		}
		if known, ok := prices[name]; ok {
			if known != r.price {
				t.Fatalf("price %s is both %s and %s: the file is another one", name, known, r.price)
			}
			continue
		}
		prices[name] = r.price
		id := fmt.Sprintf("price-%03d", len(products)+1)
		products[name] = id
		productList = append(productList, map[string]any{
			"id": id, "identifiers": []string{name}, "rates": []any{map[string]any{"model": "per_unit", "unit_price": r.price}},
		})
	}
	return map[string]any{
		"currency": "USD", "seller": map[string]any{"id": "cloud", "name": "Clouds"}, "products": productList, "accounts": accountList,
	}, accounts, products
}

func focusCollector(product string) map[string]any {
	return map[string]any{
		"format": map[string]any{"type": "delimited", "delimiter": ",", "quote": `"`, "header": true, "null": "NULL"},
		"mapping": map[string]any{
			"id": "Id", "source": map[string]any{"value": "focus"}, "account": "SubAccountId", "product": product, "quantity": "PricingQuantity",
			"time":       map[string]any{"from": "ChargePeriodStart", "layout": "2006-01-02 15:04:05", "time_zone": "UTC"},
			"attributes": map[string]any{"region": "RegionId", "service": "ServiceName", "resource": "ResourceId"},
		},
		"backfill": true,
	}
}

// TestFocusBillRows rates real bill rows. A row's product is its SkuPriceId, which has one list price all through the file. Rows
// of Oracle have none: the collector keeps them as bad rows with their lines, and a second collector, which takes their SkuId,
// loads just those lines.
func TestFocusBillRows(t *testing.T) {
	program(t)
	header, rows, content := readFocus(t)
	_, admin, _ := embedded(t)
	document, accounts, products := focusCatalog(t, rows)
	admin.apply(t, document)
	for name, product := range map[string]string{"focus": "SkuPriceId", "focus-sku": "SkuId"} {
		if err := admin.Call(http.MethodPut, "/v1/collectors/"+name, focusCollector(product), nil); err != nil {
			t.Fatal(err)
		}
	}
	run := admin.upload(t, "focus", "focus_sample.csv", content, "")
	if run.State != "done" || run.Rows != focusRows || run.Bad != focusNoSkuPrice+focusNoPrice || run.Accepted != focusRows-run.Bad {
		t.Fatalf("the run: %+v", run)
	}
	var bad []int
	for _, b := range run.BadRows {
		if b.Code != "product_missing" {
			t.Errorf("line %d is bad with %s: %s", b.Line, b.Code, b.Reason)
		}
		bad = append(bad, b.Line)
	}
	var again bytes.Buffer
	w := csv.NewWriter(&again)
	_ = w.Write(header) // memory takes everything
	for i := range rows {
		if slices.Contains(bad, rows[i].line) && rows[i].price != "NULL" {
			_ = w.Write(rows[i].text)
		}
	}
	w.Flush()
	if run = admin.upload(t, "focus-sku", "without-sku-price.csv", again.Bytes(), ""); run.Rows != focusNoSkuPrice || run.Bad != 0 {
		t.Fatalf("the rows without SkuPriceId: %+v", run)
	}
	proveFocusInvoices(t, admin, rows, accounts, products)
	proveFocusRows(t, rows, focusCharges(t, admin, accounts, rows))
	admin.proveReconciled(t, "2024-09")
}

// proveFocusInvoices compares each account's invoice with the oracle.
func proveFocusInvoices(t *testing.T, admin *caller, rows []focusRow, accounts, products map[string]string) {
	t.Helper()
	prices := map[string][]*oracle.Rate{}
	var uses []oracle.Use
	for i := range rows {
		r := &rows[i]
		if r.price == "NULL" {
			continue
		}
		id := products[r.product()]
		prices[id] = []*oracle.Rate{{Model: "per_unit", Unit: r.price}}
		uses = append(uses, oracle.Use{Billed: accounts[r.account], Account: accounts[r.account], Product: id, Quantity: r.quantity})
	}
	for account, want := range oracle.Bill(uses, func(_, product string) []*oracle.Rate { return prices[product] }) {
		eventually(t, "invoice of "+account, func() error {
			got, err := admin.InvoiceAt(account, time.Date(2024, 9, 15, 0, 0, 0, 0, time.UTC))
			if err != nil {
				return err
			}
			return want.Differs(got)
		})
	}
}

// focusCharges reads what each row was charged, by its id.
func focusCharges(t *testing.T, admin *caller, accounts map[string]string, rows []focusRow) map[string]string {
	t.Helper()
	charges := map[string]string{}
	eventually(t, "all rows are in the report store", func() error {
		clear(charges)
		for _, account := range accounts {
			for cursor := ""; ; {
				var page struct {
					Data []struct{ ID, Charge string }
					Next *string
				}
				q := url.Values{"limit": {"500"}, "from": {"2024-01-01"}, "to": {"2025-01-01"}}
				if cursor != "" {
					q.Set("cursor", cursor)
				}
				if err := admin.Get("/v1/accounts/"+account+"/activities", q, &page); err != nil {
					return err
				}
				for _, a := range page.Data {
					if _, ok := charges[a.ID]; ok {
						return fmt.Errorf("row %s is charged twice", a.ID)
					}
					charges[a.ID] = a.Charge
				}
				if page.Next == nil {
					break
				}
				cursor = *page.Next
			}
		}
		if len(charges) != len(rows)-focusNoPrice {
			return fmt.Errorf("%d of %d", len(charges), len(rows)-focusNoPrice)
		}
		return nil
	})
	return charges
}

// proveFocusRows holds each row's charge against the provider's list cost and lists the exceptions. A line is rounded as a whole, so a
// row with more than 12 decimals may bring one unit of the 12th more or less.
func proveFocusRows(t *testing.T, rows []focusRow, charges map[string]string) {
	t.Helper()
	counts := map[string]int{}
	var exceptions []string
	for i := range rows {
		r := &rows[i]
		why := r.judge()
		counts[why]++
		if why == "no price" {
			exceptions = append(exceptions, fmt.Sprintf("row %s: %s: list cost %s; a credit is no usage", r.id, why, r.cost))
			continue
		}
		charge, err := oracle.Decimal(charges[r.id])
		if err != nil {
			t.Errorf("row %s: %v", r.id, err)
			continue
		}
		exact := new(big.Rat).Mul(oracle.Rat(r.quantity), oracle.Rat(r.price))
		off := new(big.Rat).Sub(charge, exact)
		switch {
		case why == "" && charge.Cmp(oracle.Rat(r.cost)) != 0:
			t.Errorf("row %s: charged %s, list cost %s", r.id, charges[r.id], r.cost)
		case off.Abs(off).Cmp(oracle.Rat("0.000000000001")) > 0:
			t.Errorf("row %s: charged %s, quantity × price is %s", r.id, charges[r.id], exact.FloatString(24))
		case why != "" && why != "at 12 decimals":
			exceptions = append(exceptions, fmt.Sprintf("row %s: %s: list cost %s, quantity %s × price %s, charged %s", r.id, why, r.cost, r.quantity, r.price, charges[r.id]))
		}
	}
	want := map[string]int{
		"": focusExact, "at 12 decimals": focusExactAt12, "rounded by the provider": focusRounded,
		"quantity 10,000 times too small": focusScaled, "no price": focusNoPrice,
	}
	if got, _ := json.Marshal(counts); !bytes.Equal(got, encode(want)) {
		t.Errorf("the file's rows: %s, want %s", got, encode(want))
	}
	t.Logf("%d exceptions:\n%s", len(exceptions), strings.Join(exceptions, "\n"))
}
