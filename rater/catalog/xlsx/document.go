package xlsx

import (
	"strings"

	"github.com/tollstream/tollstream/rater/catalog"
)

// IsPrices says whether a file of the name is a price list: it ends with .csv or .xlsx.
func IsPrices(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".csv") || strings.HasSuffix(name, ".xlsx")
}

// Rows reads the rows of a price list by the ending of its name. The error is a *catalog.Issues.
func Rows(name string, data []byte) (*catalog.Sheet, error) {
	if strings.HasSuffix(strings.ToLower(name), ".csv") {
		return catalog.ParseCSV(name, data)
	}
	sheet, err := Read(data)
	if err != nil {
		return nil, &catalog.Issues{List: []catalog.Issue{{File: name, Message: err.Error()}}}
	}
	return sheet, nil
}

// Document reads a catalogue document or, by the ending of its name, a price list. The error is a *catalog.Issues.
func Document(name string, data []byte) (*catalog.Document, error) {
	if !IsPrices(name) {
		return catalog.ParseDocument(name, data)
	}
	sheet, err := Rows(name, data)
	if err != nil {
		return nil, err
	}
	return catalog.ParsePrices(name, sheet)
}
