package oracle

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Case is some usage of one period and the rates it falls under. All products and accounts have the same rates.
type Case struct {
	Seed  uint64
	Usage Usage
	Rates []Rate // in the order of their start; they do not overlap
	// Products have the rates as their default ones. More than one only share a capacity.
	Products []string
	GroupBy  []string
	// Accounts are one that pays and its children that it pays for.
	Accounts []string
	// Packages contain every product, without rates of their own; every account has them all, in this order.
	Packages []string
	Events   []Event // in log order
}

// ExpectedLine is a line of the current invoice.
type ExpectedLine struct {
	Account, Product, Package string
	Attributes                map[string]string // by GroupBy
	Events                    int
	Amount                    *big.Rat
}

// Expected is what a case costs.
type Expected struct {
	Lines    []ExpectedLine // in the order of their keys
	Charges  []*big.Rat     // of each event, in log order; only with Case.ExpectCharges, and for pools
	Rejected []Rejection    // in log order
	Beyond   string         // why the case is out of scope; "": it is not
}

// key is the line of an event.
func (c *Case) key(e Event) string {
	parts := []string{e.Account, e.Product, c.packageOf(e)}
	for _, name := range c.GroupBy {
		parts = append(parts, e.Attributes[name])
	}
	return strings.Join(parts, "\x00")
}

func (c *Case) packageOf(e Event) string {
	if e.Package == "" && len(c.Packages) > 0 {
		return c.Packages[0]
	}
	return e.Package
}

func (c *Case) pool() string {
	if len(c.Rates) == 0 {
		return ""
	}
	return c.Rates[0].Pool
}

// shared is the usage that decides together.
func (c *Case) shared(e Event) string {
	product := e.Product
	if c.Rates[0].Model == capacity {
		product = ""
	}
	switch c.pool() {
	case "account":
		return e.Account + "\x00" + product
	case "package": // of all that are billed together; what is used outside of packages shares nothing
		if k := c.packageOf(e); k != "" {
			return product + "\x00" + k
		}
	case "invoice":
		return product
	}
	return c.key(e)
}

// Expected prices the case.
func (c *Case) Expected() Expected { return c.expect(c.pool() != "" && c.pool() != "line") }

// ExpectCharges prices the case, and each event of it.
func (c *Case) ExpectCharges() Expected { return c.expect(true) }

func (c *Case) expect(charges bool) Expected {
	var x Expected
	if len(c.Rates) == 0 {
		for _, e := range c.Events {
			x.Rejected = append(x.Rejected, Rejection{e.ID, "no_rate"})
		}
		return x
	}
	groups := map[string][]int{}
	for i, e := range c.Events {
		groups[c.shared(e)] = append(groups[c.shared(e)], i)
	}
	lines := map[string]*ExpectedLine{}
	rejected := map[string]string{}
	if charges {
		x.Charges = make([]*big.Rat, len(c.Events))
	}
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		places := groups[group]
		var events []Event
		for _, i := range places {
			events = append(events, c.Events[i])
		}
		res := Line(c.Rates, c.Usage, events)
		if res.Beyond != "" {
			x.Beyond = res.Beyond
		}
		for _, r := range res.Rejected {
			rejected[r.ID] = r.Reason
		}
		for _, e := range events {
			if _, not := rejected[e.ID]; !not {
				c.line(lines, e).Events++
			}
		}
		if !charges {
			for _, e := range events { // they are all of one line
				if l := lines[c.key(e)]; l != nil {
					l.Amount = res.Amount
				}
			}
			continue
		}
		for n, charge := range Charges(c.Rates, c.Usage, events) {
			x.Charges[places[n]] = charge
			if l := lines[c.key(events[n])]; l != nil {
				l.Amount = add(l.Amount, charge)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		x.Lines = append(x.Lines, *lines[key])
	}
	for _, e := range c.Events {
		if reason, not := rejected[e.ID]; not {
			x.Rejected = append(x.Rejected, Rejection{e.ID, reason})
		}
	}
	return x
}

func (c *Case) line(lines map[string]*ExpectedLine, e Event) *ExpectedLine {
	key := c.key(e)
	if lines[key] == nil {
		l := &ExpectedLine{
			Account: e.Account, Product: e.Product, Package: c.packageOf(e), Attributes: map[string]string{}, Amount: num(0),
		}
		for _, name := range c.GroupBy {
			l.Attributes[name] = e.Attributes[name]
		}
		lines[key] = l
	}
	return lines[key]
}

// OrderFree says that the lines do not depend on the order of the log.
func (c *Case) OrderFree() bool {
	if pool := c.pool(); pool != "" && pool != "line" {
		return false
	}
	for k := range c.Rates {
		for _, cell := range c.Rates[k].cells() {
			// Clamps alone are of each event by itself.
			if r := cell.rate; r.inLogOrder() && (r.WholeEvent || r.FreeEvents > 0 || r.FreeAmount != nil) {
				return false
			}
		}
	}
	return true
}

// scoped is "" when no part of the log, read so far, is out of scope.
func (c *Case) scoped() string {
	large := func(e Event) bool { return new(big.Rat).Abs(e.Quantity).Cmp(ten(9)) > 0 }
	if !slices.ContainsFunc(c.Events, large) {
		return c.Expected().Beyond // prices are small, so are sums
	}
	part := *c
	for n := range c.Events {
		part.Events = c.Events[:n+1]
		if x := part.Expected(); x.Beyond != "" {
			return x.Beyond
		}
	}
	return ""
}

// String is the case as somebody can read it: document, events and what they cost.
func (c *Case) String() string {
	notes := ""
	if c.Usage.Carried != nil {
		notes = "\n# level carried over: " + Decimal(c.Usage.Carried)
	}
	if why := c.Doubt(); why != "" {
		notes += "\n# in doubt: " + why
	}
	return fmt.Sprintf("# seed %d, period %s to %s%s\n%s\n# events in log order\n%s\n# expected\n%s", c.Seed,
		c.Usage.Start.Format(time.RFC3339), c.Usage.End.Format(time.RFC3339), notes, c.Document(), c.EventsJSON(), c.ExpectedJSON())
}
