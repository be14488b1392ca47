package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
)

func (a *app) rejectedCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "rejected", Short: "List usage that could not be rated, try it again, or pass an event over",
		Example: "  tollstream rejected list --reason account_unknown\n  tollstream rejected retry --reason account_unknown",
	})
	cmd.AddCommand(a.rejectedList(), a.rejectedRetry(), a.rejectedSkip())
	return cmd
}

func rejectedFilter(flags *pflag.FlagSet) *api.RejectedFilter {
	f := new(api.RejectedFilter)
	flags.StringVar(&f.Reason, "reason", "", "`REASON`: account_unknown product_unknown no_rate not_provisioned too_old too_new duplicate_conflict late")
	flags.StringVar(&f.Account, "account", "", "`ACCOUNT` as it was sent")
	flags.StringVar(&f.Product, "product", "", "`PRODUCT` as it was sent")
	flags.StringVar(&f.Source, "source", "", "`SOURCE` of the events")
	flags.StringVar(&f.ID, "id", "", "`ID` of the event")
	return f
}

// maxPage is the most that the API gives at once.
const maxPage = 1000

func (a *app) rejectedList() *cobra.Command {
	limit := 50
	cmd := &cobra.Command{
		Use: "list", Short: "List usage that could not be rated, newest first, with its reasons counted",
		Example: "  tollstream rejected list\n  tollstream rejected list --reason no_rate --limit 1000 --output json",
		Args:    arguments(),
	}
	filter := rejectedFilter(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many `EVENTS`; 0: all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 {
			return wrongUsage("--limit must not be negative")
		}
		c, err := a.settings.client()
		if err != nil {
			return err
		}
		query := url.Values{}
		for name, value := range map[string]string{
			"reason": filter.Reason, "account": filter.Account, "product": filter.Product, "source": filter.Source, "id": filter.ID,
		} {
			if value != "" {
				query.Set(name, value)
			}
		}
		all := &api.RejectedPage{Data: []api.RejectedUsage{}}
		for {
			size := maxPage
			if limit > 0 {
				size = min(size, limit-len(all.Data))
			}
			query.Set("limit", strconv.Itoa(size))
			res, err := c.Send(cmd.Context(), http.MethodGet, "/v1/rejected", query, nil)
			if err != nil {
				return err
			}
			page, err := client.Decode[api.RejectedPage](res)
			if err != nil {
				return err
			}
			all.Data, all.Next, all.Counts = append(all.Data, page.Data...), page.Next, page.Counts
			if page.Next == nil || len(page.Data) == 0 || limit > 0 && len(all.Data) >= limit {
				break
			}
			query.Set("cursor", *page.Next)
		}
		return a.printRejected(all)
	}
	return cmd
}

func (a *app) printRejected(p *api.RejectedPage) error {
	if a.output == outputJSON {
		return a.printJSON(p)
	}
	if len(p.Data) == 0 {
		return a.print("no rejected usage\n")
	}
	rows := [][]string{{"REASON", "SOURCE", "ID", "ACCOUNT", "PRODUCT", "QUANTITY", "TIME"}}
	for i := range p.Data {
		r := &p.Data[i]
		rows = append(rows, []string{r.Reason, r.Source, r.ID, r.Account, r.Product, r.Quantity.String(), r.Time.UTC().Format(time.RFC3339)})
	}
	if err := a.table(rows); err != nil {
		return err
	}
	var total int64
	text := ""
	for _, c := range p.Counts {
		total += c.Count
		text += fmt.Sprintf(", %d %s", c.Count, c.Reason)
	}
	if text != "" {
		text = text[2:]
	}
	return a.print(fmt.Sprintf("%d of %d shown: %s\n", len(p.Data), total, text))
}

func (a *app) rejectedRetry() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry", Short: "Try rejected usage again, after the catalogue was corrected",
		Long: "Put rejected usage back into the log under its source and id; without a filter all of it. What can be rated now is, the\n" +
			"rest is rejected again with its reason.",
		Example: "  tollstream rejected retry\n  tollstream rejected retry --reason product_unknown --product iot.telemetry",
		Args:    arguments(),
	}
	filter := rejectedFilter(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.settings.client()
		if err != nil {
			return err
		}
		res, err := c.Send(cmd.Context(), http.MethodPost, "/v1/rejected/retry", nil, filter)
		if err != nil {
			return err
		}
		retried, err := client.Decode[api.Retried](res)
		if err != nil {
			return err
		}
		if a.output == outputJSON {
			return a.printJSON(retried)
		}
		return a.print(fmt.Sprintf("%d events tried again; `tollstream rejected list` shows those that are rejected once more\n", retried.Retried))
	}
	return cmd
}

func (a *app) rejectedSkip() *cobra.Command {
	var at api.EventPlace
	cmd := &cobra.Command{
		Use: "skip", Short: "Turn an event on which rating fails again and again into rejected usage",
		Long: "A partition stops after it failed three times at one offset, and says so in its log, on /ops and in the metrics. Named\n" +
			"here, the event becomes rejected usage and the partition goes on by itself within seconds.",
		Example: "  tollstream rejected skip --partition 3 --offset 18231 --index 0",
		Args:    arguments(),
	}
	cmd.Flags().Int32Var(&at.Partition, "partition", 0, "`PARTITION` that stopped")
	cmd.Flags().Int64Var(&at.Offset, "offset", 0, "`OFFSET` at which it stopped")
	cmd.Flags().IntVar(&at.Index, "index", 0, "`INDEX` of the event in its record")
	for _, name := range []string{"partition", "offset"} {
		_ = cmd.MarkFlagRequired(name) // the flags were made above
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.settings.client()
		if err != nil {
			return err
		}
		if _, err := c.Send(cmd.Context(), http.MethodPost, "/v1/rejected/skip", nil, at); err != nil {
			return err
		}
		if a.output == outputJSON {
			return a.printJSON(at)
		}
		return a.print(fmt.Sprintf("partition %d passes over event %d of offset %d\n", at.Partition, at.Index, at.Offset))
	}
	return cmd
}
