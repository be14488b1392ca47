package catalog

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Issue is one thing that is wrong with a document, where it stands and what to do about it.
type Issue struct {
	File    string // the document's name
	Line    int    // 0: not in the document
	Path    string // products[2].rates[0].tiers[1].up_to; empty: the document itself
	Message string

	column string // of a price list, in the place of the path
}

func (i Issue) String() string {
	var b strings.Builder
	b.WriteString(i.File)
	if i.Line > 0 {
		b.WriteString(":" + strconv.Itoa(i.Line))
	}
	b.WriteString(": ")
	if i.Path != "" {
		b.WriteString(i.Path + ": ")
	}
	b.WriteString(i.Message)
	return b.String()
}

// maxIssues bounds how many issues of one document are kept; the rest is counted.
const maxIssues = 100

// Issues is an error that holds everything that is wrong with a document, in its order.
type Issues struct {
	List []Issue
	More int // issues beyond the first hundred
}

func (e *Issues) Error() string {
	lines := make([]string, 0, len(e.List)+1)
	for _, i := range e.List {
		lines = append(lines, i.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// report collects issues.
type report struct {
	file   string
	issues Issues
}

func (r *report) fail(at *place, format string, args ...any) {
	if len(r.issues.List) >= maxIssues {
		r.issues.More++
		return
	}
	r.issues.List = append(r.issues.List, Issue{r.file, at.lineNumber(), at.path(), fmt.Sprintf(format, args...), at.column()})
}

// count says how many issues there are so far.
func (r *report) count() int { return len(r.issues.List) + r.issues.More }

func (r *report) err() error {
	if len(r.issues.List) == 0 {
		return nil
	}
	for i := range r.issues.List {
		if x := &r.issues.List[i]; x.column != "" {
			x.Path = x.column
		}
	}
	sort.SliceStable(r.issues.List, func(i, j int) bool { return r.issues.List[i].Line < r.issues.List[j].Line })
	return &r.issues
}

func (p *place) lineNumber() int {
	if p == nil {
		return 0
	}
	return p.line
}

func (p *place) path() string {
	if p == nil || p.up == nil {
		return ""
	}
	up := p.up.path()
	if p.name == "" {
		return up + "[" + strconv.Itoa(p.index) + "]"
	}
	if up == "" {
		return p.name
	}
	return up + "." + p.name
}

// member is the place of a member, to report what is missing or contradicts: the line is the
// owner's, for the member may not be written at all.
func (p *place) member(name string) *place { return &place{up: p, name: name, line: p.line} }

// shown is where something stands in the words of its file: a column of a price list, else the path.
func (p *place) shown() string {
	if column := p.column(); column != "" {
		return column
	}
	return p.path()
}
