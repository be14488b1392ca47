package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/cmd/tollstream/client"
	"github.com/tollstream/tollstream/rater/catalog"
)

func (a *app) catalogCommand() *cobra.Command {
	cmd := group(&cobra.Command{
		Use: "catalog", Short: "Check, compare, apply or export the catalogue: products, prices, accounts, contracts",
		Example: "  tollstream catalog lint catalog.yaml\n  tollstream catalog diff catalog.yaml\n  tollstream catalog apply catalog.yaml",
	})
	cmd.AddCommand(a.catalogApply(), a.catalogDiff(), a.catalogLint(), a.catalogExport(), a.catalogRates(), a.catalogSchema())
	return cmd
}

const priceLists = "A file that ends with .csv or .xlsx is a price list, as `catalog export prices.xlsx` writes it: a row a rate, or one for each of its\n" +
	"tiers and of a matrix's prices. The rates of a product at a level are replaced by those of the list, all else stays. The columns are\n" +
	"product, level, owner (without them the price is the product's list price), currency, start, end, model and the members of rates\n" +
	"and tiers, such as up_to and unit_price; rounding.mode, limits.PRODUCT, match.ATTRIBUTE, match.ATTRIBUTE by prefix, and\n" +
	"match.ATTRIBUTE.from and .to. Without a model unit_price is per_unit. A row without a product goes on with the one above."

func (a *app) catalogApply() *cobra.Command {
	return &cobra.Command{
		Use: "apply FILE", Short: "Create and update what a document or a price list names",
		Long: "Create and update what a document in YAML or JSON names, all or nothing; `delete: [{kind, id}]` removes. Applying it\n" +
			"again changes nothing. Usage that is accepted afterwards is priced under it. FILE may be - for standard input.\n\n" +
			priceLists,
		Example: "  tollstream catalog apply catalog.yaml\n  tollstream catalog apply - < catalog.json\n" +
			"  printf 'product,match.prefix by prefix,unit_price\\ncalls,49,0.01\\ncalls,44,0.02\\n' > calls.csv && tollstream catalog apply calls.csv",
		Args: arguments("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			applied, err := a.sendCatalog(cmd.Context(), args[0], false)
			switch {
			case err != nil:
				return err
			case a.output == outputJSON:
				return a.printJSON(applied)
			}
			return a.print(changesText(applied))
		},
	}
}

// sendCatalog applies a document, or asks what that would change.
func (a *app) sendCatalog(ctx context.Context, file string, dryRun bool) (*api.Applied, error) {
	document, err := a.readInput(file)
	if err != nil {
		return nil, err
	}
	c, err := a.settings.client()
	if err != nil {
		return nil, err
	}
	r := client.Request{Method: http.MethodPut, Path: "/v1/catalog", ContentType: documentType(file, document), Body: bytes.NewReader(document)}
	if dryRun {
		r.Query = url.Values{"dry_run": {"true"}}
	}
	res, err := c.Do(ctx, r)
	if err != nil {
		return nil, inDocument(file, err)
	}
	return client.Decode[api.Applied](res)
}

// readInput reads a whole file, or standard input for "-".
func (a *app) readInput(file string) ([]byte, error) {
	if file == "-" {
		text, err := io.ReadAll(a.stdin)
		if err != nil {
			return nil, fmt.Errorf("read standard input: %w", err)
		}
		return text, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the file: %w", err)
	}
	return text, nil
}

// documentType tells JSON and price lists by the file's name or, without one, by how it begins.
func documentType(file string, document []byte) string {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".csv":
		return "text/csv"
	case ".xlsx":
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	}
	if strings.HasSuffix(strings.ToLower(file), ".json") || file == "-" && bytes.HasPrefix(bytes.TrimSpace(document), []byte("{")) {
		return "application/json"
	}
	return "application/yaml"
}

// inDocument puts the file and the line before each thing that is wrong with a document, as compilers do.
func inDocument(file string, err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || len(p.Errors) == 0 {
		return err
	}
	if file == "-" {
		file = "standard input"
	}
	lines := make([]string, 0, len(p.Errors)+1)
	for _, e := range p.Errors {
		at := file
		if e.Line > 0 {
			at = fmt.Sprintf("%s:%d", file, e.Line)
		}
		if e.Path != "" {
			at += ": " + e.Path
		}
		lines = append(lines, at+": "+e.Message)
	}
	return errors.New(strings.Join(append(lines, "nothing was changed: correct the document and run the command again"), "\n"))
}

func changesText(applied *api.Applied) string {
	if len(applied.Changes) == 0 {
		return fmt.Sprintf("nothing to change: the catalogue has all of it (definitions %d)\n", applied.Seq)
	}
	var b strings.Builder
	for _, c := range applied.Changes {
		b.WriteString(changeText(c))
	}
	fmt.Fprintf(&b, "%s, definitions %d\n", counted(int64(len(applied.Changes)), "change"), applied.Seq)
	return b.String()
}

func changeText(c api.Change) string {
	text := c.Action + " " + c.Kind + " " + c.ID
	if len(c.Fields) > 0 {
		text += ": " + strings.Join(c.Fields, ", ")
	}
	if c.Note != "" {
		text += " (" + c.Note + ")"
	}
	return text + "\n"
}

func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (a *app) catalogExport() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write the whole catalogue as one document, or its prices as a list, that apply takes",
		Long: "Write the whole catalogue to FILE, or to standard output. The form is YAML unless FILE ends with .json, --format or\n" +
			"--output says json. As csv and xlsx it holds the prices alone: edit them in a spreadsheet, and apply the file.",
		Example: "  tollstream catalog export catalog.yaml\n  tollstream catalog export --format json | jq .products\n  tollstream catalog export prices.xlsx",
		Args:    cobra.MatchAll(cobra.ArbitraryArgs, atMostOne),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) == 1 {
				file = args[0]
			}
			form, err := a.exportFormat(format, file)
			if err != nil {
				return err
			}
			c, err := a.settings.client()
			if err != nil {
				return err
			}
			res, err := c.Send(cmd.Context(), http.MethodGet, "/v1/catalog", url.Values{"format": {form}}, nil)
			if err != nil {
				return err
			}
			if file == "-" {
				return a.print(string(res.Body))
			}
			return writeWhole(file, res.Body)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "`FORM`: yaml, json, csv or xlsx (default: by the file's name, else yaml)")
	return cmd
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return wrongUsage("%q is too much: %s", args[1], cmd.UseLine())
	}
	return nil
}

func (a *app) exportFormat(format, file string) (string, error) {
	forms := []string{"yaml", "json", "csv", "xlsx"}
	ending := strings.TrimPrefix(strings.ToLower(filepath.Ext(file)), ".")
	switch {
	case slices.Contains(forms, format):
		return format, nil
	case format != "":
		return "", wrongUsage("--format must be yaml, json, csv or xlsx, not %q", format)
	case ending != "yaml" && slices.Contains(forms, ending):
		return ending, nil
	case a.output == outputJSON:
		return "json", nil
	}
	return "yaml", nil
}

// writeWhole replaces a file at once: who reads it meanwhile sees the old or the new one.
func writeWhole(file string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		_ = os.Remove(temporary.Name()) // it is of no use
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func (a *app) catalogSchema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the document, so that editors complete and check it",
		Long: "Print the JSON Schema (2020-12) of the document; a running server has it at /schemas/catalog.json. Editors with the YAML\n" +
			"language server find it by a first line: # yaml-language-server: $schema=catalog.schema.json",
		Example: "  tollstream catalog schema > catalog.schema.json",
		Args:    arguments(),
		RunE:    func(*cobra.Command, []string) error { return a.print(string(catalog.Schema())) },
	}
}
