package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater/price"
)

func (a *app) explainCommand() *cobra.Command {
	var account, line, period string
	cmd := &cobra.Command{
		Use: "explain [ACTIVITY]", Short: "Explain the amount of an activity or of an invoice line",
		Long: "Explain an amount: which level of the pricing hierarchy answered and which were passed over and why, what lies in which\n" +
			"tier, and the arithmetic as an equation with the numbers in it. ACTIVITY is the id that lists of activities give:\n" +
			"partition, offset and index. With --account and --line it is an invoice line that is explained.",
		Example: "  tollstream explain 3-18231-0\n  tollstream explain --account acme --line 7d1f0c5a9b3e4d2186f0a1b2c3d4e5f6",
		Args:    cobra.MatchAll(cobra.ArbitraryArgs, atMostOne),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1 && line == "":
				return a.explainActivity(cmd.Context(), args[0], account)
			case len(args) == 0 && line != "" && account != "":
				return a.explainLine(cmd.Context(), account, line, period)
			}
			return wrongUsage("name an activity, or a line with --account and --line")
		},
	}
	f := cmd.Flags()
	f.StringVar(&account, "account", "", "`ID` of the account; of an activity it makes it faster to find")
	f.StringVar(&line, "line", "", "`ID` of a line of the account's invoice")
	f.StringVar(&period, "period", "", "`DATE` inside the invoice's period (default: the current one and the two before)")
	return cmd
}

func (a *app) explainActivity(ctx context.Context, id, account string) error {
	query := url.Values{}
	if account != "" {
		query.Set("account", account)
	}
	x, err := ask[invoicer.ChargeDetail](ctx, a, "/v1/activities/"+url.PathEscape(id)+"/explanation", query)
	if err != nil || a.output == outputJSON {
		return err
	}
	rows := [][]string{
		{"charge", amount(x.Charge, x.Currency)}, {x.Kind, strings.TrimSpace(x.Event + " " + x.Source)}, {"time", x.Time.Format(time.RFC3339)},
		{"account", x.Account}, {"product", x.Product}, {"quantity", x.Quantity.String()},
		{"line", x.Line + ": " + amount(x.Before, x.Currency) + " → " + amount(x.After, x.Currency)}, {"definitions", fmt.Sprint(x.Seq)},
	}
	if x.Rate != nil {
		rows = append(rows, []string{"rate", rateText(x.Rate)})
	}
	rows = append(rows, []string{"because", x.Equation})
	if x.Arithmetic != nil {
		rows = append(rows, []string{"in short", x.Arithmetic.Short})
		for _, s := range x.Arithmetic.Steps {
			rows = append(rows, []string{"", s.Label + ": " + s.Text + " = " + s.Amount.String()})
		}
	}
	if s := x.Shared; s != nil {
		rows = append(rows, []string{"shared", s.Words}, []string{"", "before: " + standingText(&s.Before, x.Currency)}, []string{"", "after: " + standingText(&s.After, x.Currency)})
	}
	if c := x.Cause; c != nil && c.Seq > 0 {
		rows = append(rows, []string{"cause", fmt.Sprintf("definitions %d", c.Seq)})
		for _, change := range c.Changes {
			rows = append(rows, []string{"", fmt.Sprintf("rate %s: %s %s → %s", change.Rate, change.Member, change.Before, change.After)})
		}
	} else if c != nil && c.Event != "" {
		rows = append(rows, []string{"cause", "event " + c.Event + " on a line that this one continues"})
	}
	if x.Note != "" {
		rows = append(rows, []string{"note", x.Note})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	return a.print(askedText(x.Asked))
}

func (a *app) explainLine(ctx context.Context, account, line, period string) error {
	query := url.Values{}
	if period != "" {
		query.Set("period", period)
	}
	d, err := ask[invoicer.LineDetail](ctx, a, "/v1/accounts/"+url.PathEscape(account)+"/lines/"+url.PathEscape(line), query)
	if err != nil || a.output == outputJSON {
		return err
	}
	rows := [][]string{
		{"amount", amount(d.Line.Amount, d.Currency)}, {"account", d.Line.UsageAccount}, {"product", d.Line.Product},
		{"quantity", d.Line.Quantity.String()}, {"events", fmt.Sprint(d.Line.Events)}, {"definitions", fmt.Sprint(d.Seq)},
	}
	if d.Explanation != nil {
		rows = append(rows, []string{"because", d.Explanation.Equation})
		for i := range d.Explanation.Segments {
			var rate *invoicer.Rate
			if i < len(d.Rates) {
				rate = &d.Rates[i]
			}
			rows = append(rows, segmentRows(&d.Explanation.Segments[i], rate)...)
		}
	}
	for _, s := range d.Shared {
		rows = append(rows, []string{"shared", s.Words}, []string{"", fmt.Sprintf("%s of %s, which costs %s; of that %s on this line",
			s.Used, s.Of, amount(s.Amount, d.Currency), amount(s.Charged, d.Currency))})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	return a.print(askedText(d.Asked))
}

// standingText says where usage stands in shared tiers.
func standingText(s *invoicer.Standing, currency string) string {
	text := s.Used.String()
	if s.Tier != "" {
		text += " in " + s.Tier
	}
	return text + ", which costs " + amount(s.Amount, currency)
}

// segmentRows shows the part of one rate with its tiers.
func segmentRows(s *price.SegmentExplanation, rate *invoicer.Rate) [][]string {
	rows := [][]string{{"segment", s.Equation}}
	if rate != nil {
		rows[0] = []string{"segment", rateText(rate)}
		rows = append(rows, []string{"", s.Equation})
	}
	if s.Note != "" {
		rows = append(rows, []string{"", s.Note})
	}
	for _, t := range s.Tiers {
		text := fmt.Sprintf("%s: %s × %s", t.Label, t.Units, t.Price)
		if !t.Flat.IsZero() {
			text += " + " + t.Flat.String()
		}
		rows = append(rows, []string{"", text + " = " + t.Amount.String()})
	}
	return rows
}

func rateText(r *invoicer.Rate) string {
	owner := r.Level
	if r.Account != "" {
		owner += " of " + r.Account
	}
	text := fmt.Sprintf("%s (%s, %s)", r.ID, r.Model, owner)
	if r.Start != nil {
		text += " from " + r.Start.Format(time.RFC3339)
	}
	if r.End != nil {
		text += " until " + r.End.Format(time.RFC3339)
	}
	return text
}

// ask reads an answer, and prints it where JSON is wanted.
func ask[T any](ctx context.Context, a *app, path string, query url.Values) (*T, error) {
	c, err := a.settings.client()
	if err != nil {
		return nil, err
	}
	res, err := c.Send(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	v, err := client.Decode[T](res)
	if err == nil && a.output == outputJSON {
		err = a.printJSON(v)
	}
	return v, err
}
