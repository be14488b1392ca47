package catalog

// billedSpan is an answer of Billing and the time in which it holds.
type billedSpan struct {
	from, to int64
	account  *Account
	period   Period
}

// billedSpans is how many answers a plan remembers: the current period, late usage, the next.
const billedSpans = 8

// Billing says who is invoiced for usage at t and in which of the invoiced account's periods.
func (p *Plan) Billing(t int64) (*Account, Period) {
	known := p.billed.Load()
	if known != nil {
		for i := range *known {
			if s := &(*known)[i]; s.from <= t && t < s.to {
				return s.account, s.period
			}
		}
	}
	s := p.billingAt(t)
	next := []billedSpan{s}
	if known != nil {
		next = append(next, (*known)[:min(len(*known), billedSpans-1)]...)
	}
	p.billed.Store(&next) // a lost race costs a repetition, nothing else
	return s.account, s.period
}

// Constant gives a time around t, half open, in which Billing and Resolve of the product give the same answers as at t.
func (p *Plan) Constant(product *Product, pkg string, t int64) (from, until int64) {
	if pkg != "" && p.snap.packages[pkg] == nil {
		return t, t // nothing is remembered of packages that there are not
	}
	s := p.billingAt(t)
	lines := p.timelinesOf(product)
	line := lines.plain
	if pkg != "" {
		named, ok := lines.named.Load(pkg)
		if !ok {
			return t, t
		}
		line = named.(timeline)
	}
	for i := range line {
		if line[i].from <= t {
			s.from = max(s.from, line[i].from)
		} else {
			s.to = min(s.to, line[i].from)
		}
	}
	return s.from, s.to
}

func (p *Plan) billingAt(t int64) billedSpan {
	s := billedSpan{from: Always, to: Never}
	for _, a := range p.chain {
		n := a.termAt(t)
		s.from = max(s.from, a.Billing[n].Start)
		if n+1 < len(a.Billing) {
			s.to = min(s.to, a.Billing[n+1].Start)
		}
		s.account = a
		if !a.Billing[n].BillToParent {
			break
		}
	}
	s.period = s.account.periodAt(t)
	s.from, s.to = max(s.from, s.period.Start), min(s.to, s.period.End)
	return s
}
