// Package method is the rating methods that a price book brings along: those that are written in Go and registered when the
// program is built ([Register]), and formulas ([Formula]).
//
// It imports ledger/money and, to read formulas, the parser of google/cel-go; it is pure. Invariants: a price is a function of the usage
// alone, the same on every machine and at every time; it takes no clock, no random number, no float, no I/O, and keeps nothing from
// one call to the next, since a replay must come to the same; usage without events is never asked about, it costs nothing.
package method

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tollstream/tollstream/ledger/money"
)

// Usage is what the events under a rate add up to, or of a rate that continues others what all of them add up to.
type Usage struct {
	Quantity money.Decimal // as the rate aggregates and rounds it, less what is included; may be negative
	Events   int64         // at least one
	Line     *Line         // on which it stands; nil: on none that is known
}

// Line is what all usage that is priced together has in common. It is never changed.
type Line struct {
	Days  int64       // of the calendar that the billing period has in which it was used, whatever part of it the rate is in effect; 0: it has no end
	Group []Attribute // the values of the attributes that the product is grouped by
}

// Attribute is a name and a value.
type Attribute struct{ Name, Value string }

// PeriodDays gives Days; 0 of no line.
func (l *Line) PeriodDays() int64 {
	if l == nil {
		return 0
	}
	return l.Days
}

// Value gives the value of an attribute that the product is grouped by, "" where usage does not say it.
func (l *Line) Value(name string) string {
	if l != nil {
		for i := range l.Group {
			if l.Group[i].Name == name {
				return l.Group[i].Value
			}
		}
	}
	return ""
}

// Needs is what a price looks at of the line, as far as that is known: of a formula.
type Needs struct {
	Days  bool
	Group []string // the names of attributes, each once
}

// NeedsOf says what a formula looks at of the line; of other methods that is not known.
func NeedsOf(p Price) Needs {
	if f, ok := p.(*formula); ok {
		return f.needs
	}
	return Needs{}
}

// Price is a method with its parameters. Both functions may be called from many goroutines at once.
type Price interface {
	// Total is the price of the usage, in the rate's currency. An error rejects the event that led to the usage. Charges are differences
	// of totals, so it need not grow with the usage.
	Total(u Usage) (money.Decimal, error)
	// Terms spell the total out for a customer; their amounts add up to it exactly.
	Terms(u Usage) []Term
}

// Term is one term of a sum.
type Term struct {
	Label  string // what it is: "first hour"
	Text   string // the arithmetic: "60 × 0.1"
	Amount money.Decimal
}

// Method makes prices.
type Method interface {
	// Compile checks the parameters as a document has them and makes the price. The error says what is wrong and what to do; it stands
	// in the answer to whoever applied the document. It must accept for ever what it has accepted once.
	Compile(parameters map[string]string) (Price, error)
}

var (
	mu         sync.RWMutex
	registered = map[string]Method{}
)

// Register makes a method known by a name, in the init function of a package that the program imports. Every process of an
// installation must be built with the same methods. A name that is taken is a mistake of the build.
func Register(name string, m Method) {
	mu.Lock()
	defer mu.Unlock()
	if name == "" || m == nil || registered[name] != nil {
		panic(fmt.Sprintf("method %q is registered twice, or is none", name))
	}
	registered[name] = m
}

// Compile makes the price of a registered method.
func Compile(name string, parameters map[string]string) (Price, error) {
	mu.RLock()
	defer mu.RUnlock()
	m := registered[name]
	if m == nil {
		if len(registered) == 0 {
			return nil, fmt.Errorf("there is no method %q: this program is built without methods of its own", name)
		}
		return nil, fmt.Errorf("there is no method %q: this program is built with %v", name, slices.Sorted(maps.Keys(registered)))
	}
	return m.Compile(parameters)
}
