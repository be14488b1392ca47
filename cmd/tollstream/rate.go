package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
)

// event is what the flags of rate describe.
type event struct {
	ID         string            `json:"id"`
	Account    string            `json:"account"`
	Product    string            `json:"product"`
	Package    string            `json:"package,omitempty"`
	Quantity   string            `json:"quantity,omitempty"`
	Time       string            `json:"time,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

func (a *app) rateCommand() *cobra.Command {
	e := event{ID: "rate"}
	var attributes []string
	cmd := &cobra.Command{
		Use: "rate", Short: "Price a usage event without recording it, and explain the price",
		Long: "Price a usage event on its account's current line without recording it, and show which rate answered and how the\n" +
			"amount comes about. The event is described by flags, or read as JSON from standard input when there are none.",
		Example: "  tollstream rate --account acme --product api-calls --quantity 3 --attribute region=eu\n" +
			`  echo '{"id": "e-1", "account": "acme", "product": "api-calls", "quantity": "3"}' | tollstream rate`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := a.eventToRate(cmd, e, attributes)
			if err != nil {
				return err
			}
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Do(cmd.Context(), client.Request{Method: http.MethodPost, Path: "/v1/rate", ContentType: "application/json", Body: bytes.NewReader(body)})
			if err != nil {
				return err
			}
			if a.output == outputJSON {
				return a.printJSON(json.RawMessage(res.Body))
			}
			quote, err := client.Decode[invoicer.Quote](res)
			if err != nil {
				return err
			}
			return a.printQuote(quote)
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.Account, "account", "", "`ID` or identifier of the account that uses")
	f.StringVar(&e.Product, "product", "", "`ID` or identifier of the product that is used")
	f.StringVar(&e.Package, "package", "", "`ID` of the package that the product is used in")
	f.StringVar(&e.Quantity, "quantity", "", "`DECIMAL`, how much (default 1)")
	f.StringVar(&e.Time, "time", "", "`TIME` in RFC 3339 (default now)")
	f.StringArrayVarP(&attributes, "attribute", "k", nil, "`NAME=VALUE`, repeatable")
	return cmd
}

// eventFlags describe the event; without any of them it is read from standard input.
var eventFlags = []string{"account", "product", "package", "quantity", "time", "attribute"}

func (a *app) eventToRate(cmd *cobra.Command, e event, attributes []string) ([]byte, error) {
	described := false
	for _, name := range eventFlags {
		described = described || cmd.Flags().Changed(name)
	}
	if !described {
		body, err := a.readInput("-")
		if err == nil && len(bytes.TrimSpace(body)) == 0 {
			return nil, wrongUsage("no event: describe one with --account and --product, or write one as JSON to standard input")
		}
		return body, err
	}
	if e.Account == "" || e.Product == "" {
		return nil, wrongUsage("an event needs --account and --product")
	}
	for _, pair := range attributes {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, wrongUsage("--attribute %q must be NAME=VALUE", pair)
		}
		if e.Attributes == nil {
			e.Attributes = map[string]string{}
		}
		e.Attributes[name] = value
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write the event: %w", err)
	}
	return body, nil
}

func (a *app) printQuote(q *invoicer.Quote) error {
	rate := q.Explanation.Rate
	owner := rate.Level
	if rate.Account != "" {
		owner += " of " + rate.Account
	}
	account := q.Account
	if q.Billed != q.Account {
		account += ", billed to " + q.Billed
	}
	product := q.Product
	if q.Package != nil {
		product += " in package " + *q.Package
	}
	rows := [][]string{
		{"charge", amount(q.Charge, q.Currency)},
		{"account", account},
		{"product", product},
		{"rate", fmt.Sprintf("%s (%s, %s)", rate.ID, rate.Model, owner)},
		{"line", amount(q.Explanation.Before, q.Currency) + " → " + amount(q.Explanation.After, q.Currency)},
		{"because", q.Explanation.Line.Equation},
	}
	if err := a.table(rows); err != nil {
		return err
	}
	var b strings.Builder
	for _, asked := range q.Explanation.Asked {
		mark := "  passed over "
		if asked.Answered {
			mark = "  answered    "
		}
		of := asked.Level
		if asked.Account != "" {
			of += " of " + asked.Account
		}
		b.WriteString(mark + of + ": " + asked.Why + "\n")
	}
	return a.print(b.String())
}

// amount writes an exact amount without the zeros that say nothing, but with the currency's decimals.
func amount(f money.Fixed, currency string) string {
	text := f.Decimal.String()
	places := 2
	if c, ok := money.LookupCurrency(currency); ok {
		places = c.Places
	}
	_, fraction, _ := strings.Cut(text, ".")
	if missing := places - len(fraction); missing > 0 {
		if fraction == "" {
			text += "."
		}
		text += strings.Repeat("0", missing)
	}
	return text + " " + currency
}
