package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tollstream/tollstream/invoicer"
	"github.com/tollstream/tollstream/rater/catalog"
)

// chargeView is what the page of one charge draws.
type chargeView struct {
	Back          link
	Heading       string
	Product, What string
	Zone          string
	Charge        amount
	Exact         string
	Before, After string
	Quantity      string
	Time          instant
	Level, Model  string
	UsageAccount  string
	Attributes    string
	LateOf        string
	Prices        []rateLine
	Steps         []explainedStep
	Equation      string
	Explained     []explainedView
	Shared        *sharedView
	Asked         []askedView
	Cause         string
	Changes       []changeView
	Note          string
}

// sharedView is what all who share the line's tiers have used.
type sharedView struct {
	Words string
	Rows  []sharedRow
}

// sharedRow is that without the charge, or with it.
type sharedRow struct{ When, Used, Tier, Amount string }

type changeView struct{ What, Before, After string }

func chargePath(account, activity string) string {
	return accountPath(account) + "/activities/" + url.PathEscape(activity)
}

// charge shows one activity: what it cost, and why.
func (s *server) charge(w http.ResponseWriter, r *http.Request) {
	source, ok := s.Customer.(Charges)
	if !ok {
		s.fail(w, r, ErrNotFound, "charge")
		return
	}
	account := r.PathValue("account")
	d, err := source.Charge(r.Context(), account, r.PathValue("activity"))
	if err != nil {
		s.fail(w, r, err, "charge")
		return
	}
	if wants(r) != "html" {
		s.writeJSON(w, r, d)
		return
	}
	view := s.viewCharge(d, account, localeOf(r.Header.Get("Accept-Language")))
	s.render(w, r, http.StatusOK, "charge", "layout", frame{Title: view.Heading + ", " + view.Product, Area: "customer", Body: view})
}

func (s *server) viewCharge(d *invoicer.ChargeDetail, account string, l locale) *chargeView {
	zone := d.Period.Start.Location()
	v := &chargeView{
		Back:    link{linePath(account, d.Line), "The line, " + periodName(d.Period.Start, d.Period.End)},
		Heading: d.Event, Product: orElse(d.ProductName, d.Product), Zone: zoneName(zone, d.Time), Attributes: attributesText(d.Attributes),
		Charge: l.smallAmount(d.Charge.Decimal, d.Currency), Exact: l.exact(d.Charge.Decimal, d.Currency),
		Before: l.exact(d.Before.Decimal, d.Currency), After: l.exact(d.After.Decimal, d.Currency),
		Time: clockTime(d.Time.In(zone), s.Now().In(zone)), Equation: l.equation(d.Equation), Note: d.Note,
	}
	v.Time.Text = d.Time.In(zone).Format("2 Jan 2006, 15:04:05")
	if d.Kind == "adjustment" {
		v.Heading = "Price adjustment"
	} else {
		v.Quantity, v.What = l.units(d.Quantity, d.Unit), "from "+d.Source
	}
	if d.Account != account {
		v.UsageAccount = d.Account
	}
	if d.UsagePeriod != nil {
		v.LateOf = periodName(d.UsagePeriod.Start, d.UsagePeriod.End)
	}
	if d.Rate != nil {
		v.Level, v.Model = levelShort(catalog.Level(d.Rate.Level)), capital(strings.ReplaceAll(d.Rate.Model, "_", " "))
		v.Prices = l.rateLines(d.Definition, d.Unit)
	}
	if d.Arithmetic != nil {
		for _, step := range d.Arithmetic.Steps {
			v.Steps = append(v.Steps, explainedStep{capital(l.equation(step.Label)), l.equation(step.Text), l.exact(step.Amount, d.Currency)})
		}
	}
	v.setTotal(d, l)
	v.setShared(d, l)
	for i := range d.Asked {
		a := &d.Asked[i]
		from := ""
		if a.Account != "" && a.Account != account {
			from = a.Account
		}
		v.Asked = append(v.Asked, askedView{levelLong(catalog.Level(a.Level), "", from), a.Why, a.Rate, a.Answered})
	}
	v.setCause(d, l)
	return v
}

// setTotal writes what the line comes to with the charge, tier by tier.
func (v *chargeView) setTotal(d *invoicer.ChargeDetail, l locale) {
	if d.Total == nil {
		return
	}
	for i := range d.Total.Segments {
		seg := &d.Total.Segments[i]
		part := explainedView{Note: l.equation(seg.Note), Quantity: l.units(seg.Quantity, d.Unit), Amount: l.exact(seg.Amount, d.Currency)}
		for _, t := range seg.Tiers {
			text := l.number(t.Units) + " × " + l.number(t.Price)
			if !t.Flat.IsZero() {
				text += " + " + l.number(t.Flat)
			}
			part.Steps = append(part.Steps, explainedStep{capital(l.equation(t.Label)), text, l.exact(t.Amount, d.Currency)})
		}
		if len(seg.Tiers) == 0 {
			for _, step := range seg.Steps {
				part.Steps = append(part.Steps, explainedStep{capital(l.equation(step.Label)), l.equation(step.Text), l.exact(step.Amount, d.Currency)})
			}
		}
		v.Explained = append(v.Explained, part)
	}
}

// setShared writes where the usage stands in tiers that others fill as well.
func (v *chargeView) setShared(d *invoicer.ChargeDetail, l locale) {
	if d.Shared == nil {
		return
	}
	v.Shared = &sharedView{Words: capital(d.Shared.Words) + "."}
	for _, x := range []struct {
		when string
		at   *invoicer.Standing
	}{{"Without it", &d.Shared.Before}, {"With it", &d.Shared.After}} {
		v.Shared.Rows = append(v.Shared.Rows, sharedRow{
			x.when, l.units(x.at.Used, d.Unit), orElse(capital(l.equation(x.at.Tier)), "–"), l.exact(x.at.Amount.Decimal, d.Currency),
		})
	}
}

func (v *chargeView) setCause(d *invoicer.ChargeDetail, l locale) {
	switch c := d.Cause; {
	case c == nil:
	case c.Invoice != "":
		v.Cause = "A closed invoice would have come to another amount; the difference is charged here."
	case c.Event != "":
		v.Cause = fmt.Sprintf("The event %s changed a line that this one continues.", c.Event)
	default:
		v.Cause = fmt.Sprintf("Prices changed (definitions %d) and reached the usage that was there.", c.Seq)
		for _, x := range c.Changes {
			v.Changes = append(v.Changes, changeView{memberWords(x.Member), orElse(l.equation(x.Before), "–"), orElse(l.equation(x.After), "–")})
		}
	}
}

// memberWords names a member of a rate by its path: "Tier 1: unit price".
func memberWords(path string) string {
	words := strings.ReplaceAll(path, "_", " ")
	if rest, ok := strings.CutPrefix(words, "tiers["); ok {
		number, member, _ := strings.Cut(rest, "].")
		if n, err := strconv.Atoi(number); err == nil {
			words = fmt.Sprintf("tier %d: %s", n+1, member)
		}
	}
	return capital(words)
}
