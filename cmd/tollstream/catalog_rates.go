package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// maxExchangeBytes bounds the file in an archive: that of all days since 1999 has 0.6 MB.
const maxExchangeBytes = 64 << 20

func (a *app) catalogRates() *cobra.Command {
	var base, from string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "rates FILE", Short: "Import exchange rates from a file of the European Central Bank",
		Long: "Import exchange rates as the European Central Bank publishes them: eurofxref.csv of a day or eurofxref-hist.csv of all days\n" +
			"since 1999, or the archive (.zip) that holds it. The header is Date, USD, JPY, …; N/A stands where a rate is not known. Other\n" +
			"banks' files of that form have another --base. Days are replaced whole, and importing a file again changes nothing. Rates count for\n" +
			"usage that is rated afterwards; what is rated already keeps those that it was rated with. FILE may be - for standard input.",
		Example: "  tollstream catalog rates eurofxref.csv\n  tollstream catalog rates --from 2026-01-01 eurofxref-hist.zip",
		Args:    arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			first := money.Date(-1 << 31)
			if from != "" {
				var err error
				if first, err = money.ParseDate(from); err != nil {
					return wrongUsage("--from: %v", err)
				}
			}
			text, err := a.readInput(args[0])
			if err == nil {
				text, err = unzipped(text)
			}
			if err != nil {
				return err
			}
			name := args[0]
			if name == "-" {
				name = "standard input"
			}
			file, err := catalog.ReadExchangeCSV(name, base, first, text)
			if err != nil {
				return fmt.Errorf("%w\nnothing was changed: correct the file and run the command again", err)
			}
			if file.Days == 0 {
				return fmt.Errorf("%s: it has no day with a rate from %s on", name, first)
			}
			return a.importRates(cmd, file, dryRun)
		},
	}
	cmd.Flags().StringVar(&base, "base", "EUR", "`CURRENCY` of which one unit is priced")
	cmd.Flags().StringVar(&from, "from", "", "leave out the days before `DATE`")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would change, and write nothing")
	return cmd
}

// importRates applies the file's document and tells of the days in a line: there may be thousands.
func (a *app) importRates(cmd *cobra.Command, file *catalog.ExchangeFile, dryRun bool) error {
	c, err := a.settings.client()
	if err != nil {
		return err
	}
	r := client.Request{Method: http.MethodPut, Path: "/v1/catalog", ContentType: "application/json", Body: bytes.NewReader(file.Document)}
	if dryRun {
		r.Query = url.Values{"dry_run": {"true"}}
	}
	res, err := c.Do(cmd.Context(), r)
	if err != nil {
		return err
	}
	applied, err := client.Decode[api.Applied](res)
	if err != nil {
		return err
	}
	if a.output == outputJSON {
		return a.printJSON(applied)
	}
	count := map[string]int{}
	for _, change := range applied.Changes {
		count[change.Action]++
	}
	text := fmt.Sprintf("%d days from %s to %s: %d new, %d changed, %d as they were (definitions %d)\n",
		file.Days, file.First, file.Last, count[catalog.ActionCreated], count[catalog.ActionChanged], file.Days-len(applied.Changes), applied.Seq)
	if len(file.Passed) > 0 {
		text += "passed over, not in use: " + strings.Join(file.Passed, ", ") + "\n"
	}
	if dryRun {
		text += "nothing was written\n"
	}
	return a.print(text)
}

// unzipped gives the one file of an archive; anything else as it is.
func unzipped(text []byte) ([]byte, error) {
	if !bytes.HasPrefix(text, []byte("PK\x03\x04")) {
		return text, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	if len(archive.File) != 1 {
		return nil, fmt.Errorf("the archive holds %d files: unpack it and name the one with the rates", len(archive.File))
	}
	file, err := archive.File[0].Open()
	if err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	text, err = io.ReadAll(io.LimitReader(file, maxExchangeBytes+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	if len(text) > maxExchangeBytes {
		return nil, fmt.Errorf("the file in the archive is larger than %d MB", maxExchangeBytes>>20)
	}
	return text, nil
}
