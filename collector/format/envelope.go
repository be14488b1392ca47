package format

import (
	"slices"
	"strings"
)

// Envelope is a format whose documents come with something around them: a message with its key, a request with its
// headers. Its own paths are read from there, all others from the document.
type Envelope struct {
	Format
	// Names are the paths that there are; one that ends in a dot stands for all that begin with it.
	Names []string
	// Value gives what is at a path, empty for nothing. It is set for each document; nil: there is nothing around it, as
	// around a file.
	Value func(path string) string
}

// CheckPath implements Format.
func (e *Envelope) CheckPath(p Path) string {
	if e.has(p.Name) {
		return ""
	}
	return e.Format.CheckPath(p)
}

func (e *Envelope) has(name string) bool {
	return slices.ContainsFunc(e.Names, func(n string) bool {
		return n == name || strings.HasSuffix(n, ".") && strings.HasPrefix(name, n) && len(name) > len(n)
	})
}

// Open implements Format.
func (e *Envelope) Open(in Input, paths []Path, from Position) (Reader, error) {
	f, err := Resolve(e.Format, in)
	if err != nil {
		return nil, err
	}
	r := &enveloped{around: make([]string, len(paths)), at: make([]int, len(paths))}
	var inside []Path
	for i, p := range paths {
		if e.has(p.Name) {
			if r.at[i] = -1; e.Value != nil {
				r.around[i] = e.Value(p.Name)
			}
			continue
		}
		r.at[i] = len(inside)
		inside = append(inside, p)
	}
	if r.Reader, err = f.Open(in, inside, from); err != nil {
		return nil, err //nolint:wrapcheck // the format's own words
	}
	return r, nil
}

// enveloped lays what is around a document between the values of its records.
type enveloped struct {
	Reader
	around []string
	at     []int // of each path's value in the record; -1: it is around it
	inner  []string
}

// Next implements Reader.
func (r *enveloped) Next(row *Row) error {
	whole := row.Fields
	row.Fields = r.inner
	err := r.Reader.Next(row)
	r.inner, row.Fields = row.Fields, whole[:0]
	if err != nil || row.Code != "" {
		return err //nolint:wrapcheck // the format's own words
	}
	for i, at := range r.at {
		if at < 0 {
			row.Fields = append(row.Fields, r.around[i])
		} else {
			row.Fields = append(row.Fields, r.inner[at])
		}
	}
	return nil
}
