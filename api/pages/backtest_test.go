package pages_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tollstream/tollstream/api/pages"
	"github.com/tollstream/tollstream/ledger/money"
)

func compared(account, product, currency string, events int64, before, after, percent string, unrated int64) pages.Compared {
	fixed := func(text string) money.Fixed { return money.Fixed{Decimal: money.MustParse(text)} }
	b, a := money.MustParse(before), money.MustParse(after)
	difference, err := a.Sub(b)
	if err != nil {
		panic(err)
	}
	c := pages.Compared{Account: account, Product: product, Currency: currency, Events: events, Before: fixed(before), After: fixed(after), Unrated: unrated}
	c.Difference = money.Fixed{Decimal: difference}
	if percent != "" {
		p := money.MustParse(percent)
		c.Percent = &p
	}
	return c
}

func backtestPage(t *testing.T, change func(*pages.Backtest)) string {
	t.Helper()
	b := pages.Backtest{
		Draft: "prices-<2027>.yaml", From: "2026-10-01", To: "2026-11-01", Zone: "Europe/Berlin", At: time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC), Accounts: 1234, Activities: 5_678_901,
		Totals: []pages.Compared{compared("", "", "EUR", 10, "5", "5", "0", 0), compared("", "", "USD", 4000, "34.5", "30.123456789012", "-12.69", 3)},
		Products: []pages.Compared{
			compared("", "calls", "USD", 3000, "32.5", "36", "10.77", 0), compared("", "refunds", "USD", 997, "-4", "-5.876543210988", "-46.91", 0),
			compared("", "storage", "USD", 3, "6", "0", "-100", 3), compared("", "voice", "EUR", 10, "5", "5", "0", 0),
		},
		Largest: []pages.Compared{compared("acme", "", "USD", 200, "8", "15", "87.5", 0), compared("beta", "", "USD", 3, "14.5", "11", "-24.14", 0)},
		Rows:    []pages.Compared{compared("acme", "calls", "USD", 1, "8", "15", "87.5", 0), compared("gamma", "storage", "USD", 3, "0", "1e15", "", 3)},
		Unrated: []pages.Unrated{{Reason: "no_rate", Product: "storage", Currency: "USD", Events: 3, Before: money.Fixed{Decimal: money.MustParse("6")}}},
		Notes:   []string{"Usage only."}, MoreRows: 12_000,
	}
	if change != nil {
		change(&b)
	}
	var out bytes.Buffer
	if err := pages.WriteBacktest(&out, &b); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestBacktestPage(t *testing.T) {
	page := backtestPage(t, nil)
	for _, want := range []string{
		"Revenue under prices-&lt;2027&gt;.yaml", "Usage from 2026-10-01 to 2026-11-01 (Europe/Berlin)", "5,678,901 activities of 1,234 accounts", "2026-11-22 15:04 UTC",
		`<data value="30.123456789012"`, "&#43;87.5", "3 of them not rated under the draft", "<code>no_rate</code>", "12,000 more rows", "Usage only.",
		`<rect class="was" y="2" width="90.28%"`, // 32.5 of the widest bar, 36
		`x="25.00%" y="1" width="25.00%"`,        // 3.5 less where 7 are half of the width
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, not := range []string{"<script", "src=", "url(", "@import", "http://", "https://"} {
		if strings.Contains(page, not) {
			t.Errorf("the page needs something else: %s", not)
		}
	}
	if empty := backtestPage(t, func(b *pages.Backtest) { *b = pages.Backtest{Draft: "d.yaml"} }); !strings.Contains(empty, "There is no usage in that time") {
		t.Error("a time without usage is not said")
	}
}

func TestBacktestPageInABrowser(t *testing.T) {
	ctx := browser(t)
	said := complaints(ctx, t)
	for name, change := range map[string]func(*pages.Backtest){
		"backtest": nil,
		"backtest-empty": func(b *pages.Backtest) {
			*b = pages.Backtest{Draft: "d.yaml", From: "2026-10-01", To: "2026-11-01", Notes: []string{"Usage only."}}
		},
		"backtest-long": func(b *pages.Backtest) {
			b.Account = strings.Repeat("a-very-long-account-", 5)
			for i := range 200 {
				b.Rows = append(b.Rows, compared(fmt.Sprintf("%s-%d", b.Account, i), "a-product-with-a-long-name", "USD", 1, "1234567.125", "-999999999999999.123456789012", "-12345678.9", 0))
			}
		},
	} {
		page := backtestPage(t, change)
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(page))
		}))
		t.Cleanup(s.Close)
		for _, width := range []int64{360, 1280} {
			for _, theme := range []string{"light", "dark"} {
				name := fmt.Sprintf("%s-%d-%s", name, width, theme)
				t.Run(name, func(t *testing.T) {
					look(ctx, t, width, theme)
					must(ctx, t, chromedp.Navigate(s.URL), chromedp.WaitReady(chromedp.CSS("main")))
					for _, finding := range evaluate[[]string](ctx, t, scan) {
						t.Error(finding)
					}
					for _, complaint := range said() {
						t.Error("console: ", complaint)
					}
					if *screenshots == "" {
						return
					}
					picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
					if err == nil {
						err = os.WriteFile(filepath.Join(*screenshots, name+".png"), picture, 0o644)
					}
					if err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}
