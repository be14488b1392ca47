package pages

import (
	"encoding/csv"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostExportRows bounds one download; larger exports are a matter of the reports.
const mostExportRows = 1_000_000

func (s *server) writeJSON(w http.ResponseWriter, r *http.Request, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		s.fail(w, r, err, "page")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if _, err := w.Write(append(body, '\n')); err != nil {
		s.Log.DebugContext(r.Context(), "reader went away", "error", err)
	}
}

// overviewJSON is the overview as data, with the price list in words beside the rates' ids.
func overviewJSON(o *Overview, l locale) any {
	type priceRow struct {
		Product     string     `json:"product"`
		ProductName string     `json:"product_name"`
		Unit        string     `json:"unit"`
		Package     string     `json:"package,omitempty"`
		RateID      string     `json:"rate"`
		Model       string     `json:"model"`
		Level       string     `json:"level"`
		Account     string     `json:"account,omitempty"`
		Prices      []rateLine `json:"prices"`
	}
	rows := make([]priceRow, 0, len(o.Prices))
	for i := range o.Prices {
		p := &o.Prices[i]
		row := priceRow{Product: p.Product, ProductName: p.ProductName, Unit: p.Unit, Package: p.Package}
		if p.Rate != nil {
			row.RateID, row.Model, row.Level, row.Account = p.Rate.ID, string(p.Rate.Model), string(p.Rate.Level), p.Rate.OwnerAccount
			row.Prices = l.rateLinesIn(p.Rate, p.Unit, o.Invoice.Currency)
		}
		rows = append(rows, row)
	}
	return struct {
		*Overview
		Prices []priceRow `json:"prices"`
	}{o, rows}
}

// csvOut begins a download. Numbers are written for programs: a point, no separators.
func csvOut(w http.ResponseWriter, name string) *csv.Writer {
	name = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '_'
	}, name)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	w.Header().Set("Cache-Control", "no-store")
	return csv.NewWriter(w)
}

// cell keeps a spreadsheet from running a text of ours as a formula.
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// attributesCell is the attributes as JSON in the order of their names, or "" without any.
func attributesCell(attributes map[string]string) string {
	if len(attributes) == 0 {
		return ""
	}
	text, err := json.Marshal(attributes)
	if err != nil { // strings always marshal
		return ""
	}
	return string(text)
}

// download writes page after page: write puts out the page at hand and says how many rows that were and where the next page begins, "": it was the
// last; read gets that one.
func (s *server) download(r *http.Request, out *csv.Writer, write func() (rows int, next string), read func(cursor string) error) {
	for rows := 0; ; {
		n, next := write()
		if rows += n; next == "" || rows >= mostExportRows {
			break
		}
		out.Flush()
		if out.Error() != nil {
			break
		}
		if err := read(next); err != nil {
			s.Log.ErrorContext(r.Context(), "download broke off", "path", r.URL.Path, "error", err)
			panic(http.ErrAbortHandler) // a file that ends early must not look complete
		}
	}
	s.finish(r, out)
}

// finish ends a download; what fails now can only be logged, the answer has begun.
func (s *server) finish(r *http.Request, out *csv.Writer) {
	out.Flush()
	if err := out.Error(); err != nil {
		s.Log.DebugContext(r.Context(), "download broke off", "path", r.URL.Path, "error", err)
	}
}

func (s *server) overviewCSV(w http.ResponseWriter, r *http.Request, o *Overview, l locale) {
	inv := &o.Invoice
	name := inv.Account + "-" + inv.Period.Start.Format(dayLayout)
	table := r.URL.Query().Get("table")
	if table == "" {
		table = "lines"
	}
	out := csvOut(w, name+"-"+table)
	switch table {
	case "days":
		_ = out.Write([]string{"period", "day", "product", "amount", "currency"})
		for _, part := range []struct {
			name string
			days []DayCharges
		}{{"previous", o.PreviousDays}, {"this", o.Days}} {
			for _, day := range part.days {
				for _, c := range day.Charges {
					_ = out.Write([]string{part.name, day.Day, cell(c.Product), c.Amount.Fixed(), inv.Currency})
				}
			}
		}
	case "prices":
		_ = out.Write([]string{"product", "name", "unit", "package", "for", "price", "from", "rate"})
		for i := range o.Prices {
			p := &o.Prices[i]
			if p.Rate == nil {
				continue
			}
			from := levelLong(p.Rate.Level, orElse(p.OwnerName, ownerID(p)), inheritedFrom(p, r.PathValue("account")))
			for _, line := range english.rateLinesIn(p.Rate, p.Unit, o.Invoice.Currency) {
				_ = out.Write([]string{cell(p.Product), cell(p.ProductName), cell(p.Unit), cell(p.Package), line.For, line.Price, cell(from), cell(p.Rate.ID)})
			}
		}
	default:
		_ = out.Write([]string{"line", "usage_account", "product", "name", "package", "attributes", "quantity", "unit", "events", "amount",
			"currency", "rate_level", "rate_account", "rate", "model"})
		for i := range inv.Lines {
			line := &inv.Lines[i]
			pkg := ""
			if line.Package != nil {
				pkg = *line.Package
			}
			_ = out.Write([]string{line.ID, cell(line.UsageAccount), cell(line.Product), cell(line.ProductName), cell(pkg),
				attributesCell(line.Attributes), line.Quantity.String(), cell(line.Unit), strconv.FormatInt(line.Events, 10),
				line.Amount.Fixed(), inv.Currency, line.Rate.Level, cell(line.Rate.Account), cell(line.Rate.ID), line.Rate.Model})
		}
	}
	s.finish(r, out)
}

// usageCSV writes all usage behind a line that the filter matches, page by page.
func (s *server) usageCSV(w http.ResponseWriter, r *http.Request, account, id string, d *LineDetail, filter ActivityFilter) {
	filter.Limit = usageExportPage
	page, err := s.Customer.Activities(r.Context(), account, id, filter, "")
	if err != nil { // before the first byte it can still be said
		s.fail(w, r, err, "page of usage")
		return
	}
	zone := d.Period.Start.Location()
	if loaded, err := time.LoadLocation(d.TimeZone); err == nil && d.TimeZone != "" {
		zone = loaded
	}
	names := map[string]bool{}
	for _, facet := range d.Facets {
		names[facet.Name] = true
	}
	columns := slices.Sorted(maps.Keys(names))
	out := csvOut(w, account+"-"+d.Line.Product+"-"+d.Period.Start.Format(dayLayout)+"-usage")
	header := []string{"time", "source", "id", "adjustment", "quantity", "unit", "charge", "currency", "line_amount", "rate"}
	for _, name := range columns {
		header = append(header, cell("attribute_"+name))
	}
	_ = out.Write(append(header, "attributes"))
	s.download(r, out, func() (int, string) {
		for i := range page.Rows {
			a := &page.Rows[i]
			row := []string{a.Time.In(zone).Format(time.RFC3339Nano), cell(a.Source), cell(a.EventID), strconv.FormatBool(a.Adjustment),
				a.Quantity.String(), cell(d.Line.Unit), a.Charge.Fixed(), d.Currency, a.LineAmount.Fixed(), cell(a.RateID)}
			for _, name := range columns {
				row = append(row, cell(a.Attributes[name]))
			}
			_ = out.Write(append(row, attributesCell(a.Attributes)))
		}
		return len(page.Rows), page.Next
	}, func(cursor string) (err error) {
		page, err = s.Customer.Activities(r.Context(), account, id, filter, cursor)
		return err
	})
}
