package format

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tollstream/tollstream/collector/usage"
)

// Elements of an array in a record make events, each for itself: paths that begin with @each are in an element.

// maxEvents bounds what one record may make.
const maxEvents = 10_000

// eachPath gives the path in an element; ok is false for a path in the record.
func eachPath(path string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, "@each")
	return strings.TrimPrefix(rest, "."), ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func checkElement(p Path) string {
	if p.Name == "" {
		return ""
	}
	_, message := parsePath(p.Name)
	return message
}

// elements reads the values of one element after another.
type elements struct {
	at     int    // of the array among the record's values
	paths  []Path // in an element
	values values
	row    Row // an element as a record
	fields []string
}

func newElements(at int) *elements { return &elements{at: at} }

// place counts down from -2, until bind knows how many values the record has.
func (e *elements) place(p Path) int {
	for i, known := range e.paths {
		if known.Name == p.Name {
			return -2 - i
		}
	}
	e.paths = append(e.paths, p)
	return -1 - len(e.paths)
}

// bind puts an element's values behind the record's.
func (e *elements) bind(recordValues int, places func(func(place *int))) {
	places(func(place *int) {
		if *place <= -2 {
			*place = recordValues + (-2 - *place)
		}
	})
	root := &tree{}
	for i, p := range e.paths {
		at := root
		steps, _ := parsePath(p.Name) // of none: the element itself
		for _, s := range steps {
			at = at.below(s)
		}
		at.wanted = append(at.wanted, i)
	}
	e.values = values{wanted: root, fields: len(e.paths)}
}

// elements makes the events of each element.
func (w *mapping) elements(events []usage.Sent) []usage.Sent {
	e, first := w.m.each, len(events)
	text := w.row.Fields[e.at]
	if text == "" {
		return events
	}
	list := jsontext.NewDecoder(strings.NewReader(text))
	if begin, err := list.ReadToken(); err != nil || begin.Kind() != '[' {
		w.row.Fail(usage.CodeRow, fmt.Sprintf("each: %q is no array", cut(text)))
		return events
	}
	for n := 1; list.PeekKind() != ']' && w.row.Code == ""; n++ {
		value, err := list.ReadValue()
		if err != nil {
			w.row.Fail(usage.CodeRow, fmt.Sprintf("each: element %d: not a JSON value: %s", n, jsonProblem(err)))
			return events
		}
		e.row = Row{Fields: e.row.Fields[:0]}
		e.values.read(value, &e.row)
		if e.row.Code != "" {
			w.row.Fail(e.row.Code, fmt.Sprintf("each: element %d: %s", n, e.row.Message))
			return events
		}
		e.fields = append(append(e.fields[:0], w.row.Fields...), e.row.Fields...)
		w.m.record.fields = e.fields
		if events = w.events(events); len(events)-first > maxEvents {
			w.row.Fail(usage.CodeRow, fmt.Sprintf("the record makes more than %d events", maxEvents))
		}
	}
	return events
}
