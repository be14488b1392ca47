package api

import (
	"encoding"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const csvType = "text/csv"

// csvCapable marks, in an operation's metadata, a call that answers ?format=csv.
const csvCapable = "csv"

// CSVParam is the query member of calls that answer both.
type CSVParam struct {
	Format string `query:"format" enum:"json,csv" default:"json"`
}

func wantsCSV(r *http.Request) bool {
	return r.URL.Query().Get("format") == "csv"
}

// tabular is an answer that has rows.
type tabular interface{ rows() any }

func (l List[T]) rows() any { return l.Data }

// marshalCSV writes the rows of an answer: the header from the members' JSON names, a nested document's members
// behind its name, a map as JSON, times and decimals as in JSON.
func marshalCSV(w io.Writer, v any) error {
	t, ok := v.(tabular)
	if !ok {
		return fmt.Errorf("write %T as CSV: it has no rows", v)
	}
	rows := reflect.ValueOf(t.rows())
	columns := columnsOf(rows.Type().Elem(), "", nil)
	out := csv.NewWriter(w)
	record := make([]string, len(columns))
	for i, c := range columns {
		record[i] = c.name
	}
	if err := out.Write(record); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	for i := range rows.Len() {
		for j, c := range columns {
			text, err := cell(member(rows.Index(i), c.index))
			if err != nil {
				return fmt.Errorf("write CSV column %s: %w", c.name, err)
			}
			record[j] = text
		}
		if err := out.Write(record); err != nil {
			return fmt.Errorf("write CSV: %w", err)
		}
	}
	out.Flush()
	return out.Error()
}

type column struct {
	name  string
	index []int
}

func columnsOf(t reflect.Type, prefix string, at []int) []column {
	var columns []column
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		index := append(append([]int(nil), at...), i)
		nested := f.Type
		if nested.Kind() == reflect.Pointer {
			nested = nested.Elem()
		}
		if nested.Kind() == reflect.Struct && !f.Type.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			columns = append(columns, columnsOf(nested, prefix+name+"_", index)...)
			continue
		}
		columns = append(columns, column{prefix + name, index})
	}
	return columns
}

// member finds a column's value, a nil pointer where a document around it is missing.
func member(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func cell(v reflect.Value) (string, error) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", nil
		}
		v = v.Elem()
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		return string(text), err
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		text, err := json.Marshal(v.Interface())
		return string(text), err
	}
	return fmt.Sprint(v.Interface()), nil
}

// offerCSV documents that a call answers CSV too; the operation must have csvCapable in its metadata.
func (s *Server) offerCSV(path string) {
	get := s.api.OpenAPI().Paths[path].Get
	if get.Responses["200"].Content == nil {
		get.Responses["200"].Content = map[string]*huma.MediaType{}
	}
	get.Responses["200"].Content[csvType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
}
