package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/catalog/xlsx"
)

// catalogDesk reads and writes definitions for the API.
type catalogDesk struct{ p *process }

var (
	_ api.Catalog      = catalogDesk{}
	_ api.Drafts       = catalogDesk{}
	_ api.CatalogKinds = catalogDesk{}
)

// Apply implements api.Catalog.
func (c catalogDesk) Apply(ctx context.Context, d api.Document, dryRun bool) (*api.Applied, error) {
	doc, err := xlsx.Document("catalog."+string(d.Format), d.Body)
	if err != nil {
		return nil, documentErrors(err)
	}
	if dryRun {
		return c.compare(ctx, doc)
	}
	doc.Author = author(ctx)
	result, err := c.p.publisher.ApplyAndPublish(ctx, doc)
	c.p.placed.forget()
	c.p.resolver.Invalidate() // also after an error: it may have been applied all the same
	if err != nil {
		return nil, documentErrors(err)
	}
	return &api.Applied{Seq: result.Seq, Changes: describeChanges(result.Changes)}, nil
}

// compare says what a document would change, what that means and whom it concerns.
func (c catalogDesk) compare(ctx context.Context, doc *catalog.Document) (*api.Applied, error) {
	compared, err := c.p.catalog.Compare(ctx, doc)
	if err != nil {
		return nil, documentErrors(err)
	}
	out := &api.Applied{Seq: compared.Seq, DryRun: true, Changes: describeChanges(compared.Changes), More: compared.More}
	for i := range compared.Differences {
		d := &compared.Differences[i]
		out.Differences = append(out.Differences, api.Difference{
			Kind: string(d.Kind), ID: d.ID, Text: d.Text, Product: d.Product, Level: string(d.Level), Package: d.Package, Currency: d.Currency,
			From: d.From, Until: d.Until, Before: d.Before, After: d.After,
			Accounts: api.AffectedAccounts{Count: d.Accounts, Everyone: d.Reach.Everyone, First: d.First},
		})
	}
	return out, nil
}

func describeChanges(changes []catalog.Change) []api.Change {
	out := make([]api.Change, len(changes))
	for i := range changes {
		out[i] = describeChange(changes[i])
	}
	return out
}

// Draft implements api.Drafts. The newest definitions are those that the changes are told against, or newer ones that were applied meanwhile.
func (c catalogDesk) Draft(ctx context.Context, d api.Document) (*catalog.Draft, error) {
	doc, err := xlsx.Document("catalog."+string(d.Format), d.Body)
	if err != nil {
		return nil, documentErrors(err)
	}
	changes, err := c.p.catalog.Diff(ctx, doc)
	if err != nil {
		return nil, documentErrors(err)
	}
	seq, err := c.p.catalog.CurrentSeq(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	return catalog.NewDraft(changes, seq), nil
}

func describeChange(c catalog.Change) api.Change {
	return api.Change{Action: c.Action, Kind: string(c.Kind), ID: c.ID, Fields: c.Fields, Note: c.Note}
}

// documentErrors says in the API's terms what is wrong with a document.
func documentErrors(err error) error {
	var issues *catalog.Issues
	if !errors.As(err, &issues) {
		return err
	}
	out := make(api.DocumentErrors, 0, len(issues.List))
	for _, i := range issues.List {
		out = append(out, api.DocumentError{Path: i.Path, Line: i.Line, Message: i.Message})
	}
	return out
}

// Export implements api.Catalog.
func (c catalogDesk) Export(ctx context.Context, f api.Format) ([]byte, error) {
	rows, err := c.p.catalog.Rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	switch f {
	case api.FormatYAML:
		return catalog.ExportYAML(rows)
	case api.FormatCSV, api.FormatXLSX:
		prices, err := catalog.ExportPrices(rows)
		if err != nil {
			return nil, err
		}
		if f == api.FormatCSV {
			return prices.CSV()
		}
		return xlsx.Write(prices)
	}
	return catalog.ExportJSON(rows)
}

// members are the kinds' names in a document.
var members = map[catalog.Kind]string{
	catalog.KindProduct: "products", catalog.KindRateClass: "rate_classes", catalog.KindPackage: "packages",
	catalog.KindAccount: "accounts", catalog.KindContract: "contracts",
}

// list returns the definitions of a kind in the shape that they have in a document, ordered by id.
func (c catalogDesk) list(ctx context.Context, kind catalog.Kind, keep func(catalog.Row) bool) ([]catalog.Row, []json.RawMessage, error) {
	rows, err := c.p.catalog.Rows(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", api.ErrUnavailable, err)
	}
	wanted := slices.DeleteFunc(slices.Clone(rows), func(r catalog.Row) bool { return r.Kind != kind || r.Deleted || !keep(r) })
	slices.SortFunc(wanted, func(a, b catalog.Row) int { return strings.Compare(a.ID, b.ID) })
	// A contract's dates are local to its account, which therefore has to be among the rows.
	out := make([]json.RawMessage, 0, len(wanted))
	var owners []catalog.Row
	if kind == catalog.KindContract {
		owners = slices.DeleteFunc(slices.Clone(rows), func(r catalog.Row) bool { return r.Kind != catalog.KindAccount })
	}
	body, err := catalog.ExportJSON(append(owners, wanted...))
	if err != nil {
		return nil, nil, err
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, nil, fmt.Errorf("read the exported catalogue: %w", err)
	}
	if list, ok := document[members[kind]]; ok {
		if err := json.Unmarshal(list, &out); err != nil {
			return nil, nil, fmt.Errorf("read the exported catalogue: %w", err)
		}
	}
	return wanted, out, nil
}

// Definition implements api.CatalogKinds.
func (c catalogDesk) Definition(ctx context.Context, kind catalog.Kind, id string) (json.RawMessage, error) {
	_, list, err := c.list(ctx, kind, func(r catalog.Row) bool { return r.ID == id })
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s %q: %w", kind, id, api.ErrNotFound)
	}
	return list[0], nil
}

// Definitions implements api.CatalogKinds.
func (c catalogDesk) Definitions(ctx context.Context, kind catalog.Kind, cursor string, limit int) (data []json.RawMessage, next string, err error) {
	rows, list, err := c.list(ctx, kind, func(r catalog.Row) bool { return r.ID > cursor })
	if err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		return list[:limit], rows[limit-1].ID, nil
	}
	return list, "", nil
}
