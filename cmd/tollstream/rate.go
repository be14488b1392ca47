package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog/xlsx"
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

// rateOptions are the flags of rate that do not describe the event.
type rateOptions struct {
	attributes []string
	draft, at  string
	collector  string
	fresh      bool
	offline    bool
	summary    bool
}

func (a *app) rateCommand() *cobra.Command {
	e := event{ID: "rate"}
	var o rateOptions
	cmd := &cobra.Command{
		Use: "rate [FILE]", Short: "Price usage events without recording them, and explain the prices",
		Long: "Price usage without recording it, and show which rate answered and how the amount comes about: one event, described by\n" +
			"flags or read as JSON from standard input; or the events of FILE, each on top of those before it, with a sum for each account\n" +
			"and product at the end. FILE is NDJSON, a JSON array, or CSV whose header names the members of an event (other columns are\n" +
			"attributes; --collector maps other files). It is streamed: its size does not matter. Events without a price are reported\n" +
			"with their line, and end the command with exit code 1.\n\n" +
			"Events are priced on their accounts' lines as they stand (--fresh: on empty ones), under the live catalogue, as it stood at a\n" +
			"time (--at), or with a draft laid over it (--catalog). With --offline no server is asked: the draft defines the accounts too.",
		Example: "  tollstream rate --account acme --product api-calls --quantity 3 --attribute region=eu\n" +
			`  echo '{"id": "e-1", "account": "acme", "product": "api-calls", "quantity": "3"}' | tollstream rate` + "\n" +
			"  tollstream rate usage.csv --catalog draft.yaml --fresh --summary\n" +
			"  tollstream rate expected.ndjson --catalog prices.yaml --offline --output json",
		Args: cobra.MatchAll(cobra.ArbitraryArgs, atMostOne),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.offline && o.draft == "" {
				return wrongUsage("--offline needs --catalog: a draft that defines the products and the accounts")
			}
			if xlsx.IsPrices(o.draft) {
				return wrongUsage("--catalog takes a document in YAML or JSON, not the price list %s: `tollstream backtest` and `tollstream catalog diff` take it", o.draft)
			}
			if len(args) == 1 {
				return a.rateFile(cmd.Context(), args[0], o)
			}
			body, err := a.eventToRate(cmd, e, o.attributes)
			if err != nil {
				return err
			}
			return a.rateOne(cmd.Context(), body, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.Account, "account", "", "`ID` or identifier of the account that uses")
	f.StringVar(&e.Product, "product", "", "`ID` or identifier of the product that is used")
	f.StringVar(&e.Package, "package", "", "`ID` of the package that the product is used in")
	f.StringVar(&e.Quantity, "quantity", "", "`DECIMAL`, how much (default 1)")
	f.StringVar(&e.Time, "time", "", "`TIME` in RFC 3339 (default now, or --at)")
	f.StringArrayVarP(&o.attributes, "attribute", "k", nil, "`NAME=VALUE`, repeatable")
	f.StringVar(&o.draft, "catalog", "", "`FILE` with a catalogue document, YAML or JSON, laid over the catalogue; nothing is written")
	f.StringVar(&o.at, "at", "", "`TIME` in RFC 3339: the definitions as they stood then, and the time of events that say none")
	f.StringVar(&o.collector, "collector", "", "`FILE` with a collector's configuration, whose format and mapping read a CSV file")
	f.BoolVar(&o.fresh, "fresh", false, "price on empty lines, without what the accounts have used")
	f.BoolVar(&o.offline, "offline", false, "ask no server: the draft defines all that is needed")
	f.BoolVar(&o.summary, "summary", false, "of a file print the sums only")
	return cmd
}

// settings gives the request's members beside the events.
func (a *app) rateSettings(o rateOptions) (map[string]any, error) {
	settings := map[string]any{"state": !o.fresh}
	if o.at != "" {
		settings["at"] = o.at
	}
	if o.draft != "" {
		document, err := a.readInput(o.draft)
		if err != nil {
			return nil, err
		}
		settings["catalog"] = string(document) // YAML, of which JSON is a part
	}
	return settings, nil
}

// rateOne prices one event.
func (a *app) rateOne(ctx context.Context, body []byte, o rateOptions) error {
	var quote *invoicer.Quote
	if o.offline {
		prices, err := a.offlinePrices(ctx, o)
		if err != nil {
			return err
		}
		result := prices.rate(ctx, body)
		if result.Error != nil {
			return errors.New(result.Error.Message)
		}
		quote = result.Quote
	} else {
		settings, err := a.rateSettings(o)
		if err != nil {
			return err
		}
		settings["event"] = json.RawMessage(body)
		c, err := a.settings.client()
		if err != nil {
			return err
		}
		res, err := c.Send(ctx, http.MethodPost, "/v1/rate", nil, settings)
		if err != nil {
			return inDraft(o.draft, err)
		}
		if quote, err = client.Decode[invoicer.Quote](res); err != nil {
			return err
		}
	}
	if a.output == outputJSON {
		return a.printJSON(quote)
	}
	return a.printQuote(quote)
}

// inDraft puts the draft's name before what is wrong with it.
func inDraft(file string, err error) error {
	if file == "" {
		return err
	}
	return inDocument(file, err)
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
	if c := q.Explanation.Charge; c != nil {
		rows = append(rows, []string{"difference", c.Equation}, []string{"in short", c.Short})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	return a.print(askedText(q.Explanation.Asked))
}

// askedText lists the levels of the pricing hierarchy as they were asked.
func askedText(levels []invoicer.Asked) string {
	var b strings.Builder
	for _, asked := range levels {
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
	return b.String()
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
