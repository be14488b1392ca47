package pages

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

// correctionWords stand where a price would come from.
const correctionWords = "Correction of a closed invoice"

// levelShort names a level of the pricing hierarchy in two words, from the customer's side.
func levelShort(level catalog.Level) string {
	switch level {
	case catalog.LevelAccountProduct:
		return "Your own price"
	case catalog.LevelAccountPackageProduct:
		return "Your package price"
	case catalog.LevelContract:
		return "Contract"
	case catalog.LevelRateClass:
		return "Rate class"
	case catalog.LevelPackageDefault:
		return "Package"
	case catalog.LevelProductDefault:
		return "List price"
	}
	return string(level)
}

// levelLong says in words where a price comes from. name is what the holder is called, "" when it has
// no name; from is the account whose level it is when that is not the reader's own.
func levelLong(level catalog.Level, name, from string) string {
	var s string
	switch level {
	case catalog.LevelAccountProduct:
		s = "Agreed for your account"
	case catalog.LevelAccountPackageProduct:
		s = "Agreed for your account inside " + orElse(name, "a package")
	case catalog.LevelContract:
		s = "Contract" + before(" ", name)
	case catalog.LevelRateClass:
		s = "Rate class" + before(" ", name) + ", named by your contract"
	case catalog.LevelPackageDefault:
		s = "Package" + before(" ", name)
	case catalog.LevelProductDefault:
		return "List price"
	default:
		s = string(level)
	}
	if from != "" {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "your account", "that account"), "your contract", "its contract")
		s += ", inherited from " + from
	}
	return s
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func before(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// rateLine is a line of a price: for what, and how much.
type rateLine struct {
	For   string `json:"for,omitempty"`
	Price string `json:"price"`
}

// rateLines writes a rate as a customer would say it. unit may be "".
func (l locale) rateLines(r *catalog.Rate, unit string) []rateLine {
	if r == nil {
		return nil
	}
	lines := make([]rateLine, 0, 4)
	if r.Included.Sign() > 0 {
		lines = append(lines, rateLine{For: "First " + l.units(r.Included, unit), Price: "included"})
	}
	lines = append(lines, l.priceLines(r, unit)...)
	if r.ProrateByDay {
		lines = append(lines, rateLine{For: "Each unit", Price: "from its day to the end of the period"})
	}
	if r.Maximum.Sign() > 0 {
		lines = append(lines, rateLine{For: "At most", Price: l.exact(r.Maximum, r.Currency)})
	}
	if r.Minimum.Sign() > 0 {
		lines = append(lines, rateLine{For: "At least", Price: l.exact(r.Minimum, r.Currency)})
	}
	return lines
}

// rateLinesIn writes a rate as it is charged in a currency, which may be another than its own.
func (l locale) rateLinesIn(r *catalog.Rate, unit, currency string) []rateLine {
	lines := l.rateLines(r, unit)
	if r != nil && r.Currency != currency {
		lines = append(lines, rateLine{For: "Charged in " + currency, Price: "at the exchange rate of the day on which the price begins in the period"})
	}
	return lines
}

// priceLines writes what units cost, without what holds for the line as a whole.
func (l locale) priceLines(r *catalog.Rate, unit string) []rateLine {
	each := " per " + orElse(unit, "unit")
	switch r.Model {
	case catalog.ModelFlat:
		return []rateLine{{Price: l.exact(r.Amount, r.Currency) + " once per period with usage"}}
	case catalog.ModelPerUnit:
		return []rateLine{{Price: l.exact(r.UnitPrice, r.Currency) + each}}
	case catalog.ModelPackage:
		lines := make([]rateLine, 0, 2)
		if r.Free.Sign() > 0 {
			lines = append(lines, rateLine{For: "First " + l.units(r.Free, unit), Price: "free"})
		}
		return append(lines, rateLine{For: "Each started " + l.units(r.Size, unit), Price: l.exact(r.Price, r.Currency)})
	case catalog.ModelGraduated, catalog.ModelVolume, catalog.ModelGraduatedPercentage:
		return l.tierLines(r, unit, each)
	case catalog.ModelBlockGraduated, catalog.ModelBlockVolume:
		return l.blockLines(r, unit)
	case catalog.ModelFormula:
		return []rateLine{{For: "All usage", Price: r.Expression + ", in " + r.Currency}}
	case catalog.ModelCustom:
		return []rateLine{{For: "All usage", Price: "by the method " + r.Method}}
	case catalog.ModelDynamic:
		return []rateLine{{Price: "the amount of each event"}}
	case catalog.ModelPercentage:
		return l.percentageLines(r)
	}
	return []rateLine{{Price: strings.ReplaceAll(string(r.Model), "_", " ")}}
}

func (l locale) percentageLines(r *catalog.Rate) []rateLine {
	p := r.Percentage
	if p == nil {
		return nil
	}
	var lines []rateLine
	if p.FreeEvents > 0 {
		lines = append(lines, rateLine{For: "First " + l.units(money.FromInt(p.FreeEvents), "event"), Price: "free"})
	}
	if p.FreeAmount.Sign() > 0 {
		lines = append(lines, rateLine{For: "First " + l.exact(p.FreeAmount, r.Currency), Price: "free"})
	}
	text := l.number(p.Rate) + noBreak + "%"
	if !p.Fixed.IsZero() {
		text += " + " + l.exact(p.Fixed, r.Currency)
	}
	if p.HasMin {
		text += ", at least " + l.exact(p.Min, r.Currency)
	}
	if p.HasMax {
		text += ", at most " + l.exact(p.Max, r.Currency)
	}
	return append(lines, rateLine{For: "Of the value of each event", Price: text})
}

func (l locale) tierLines(r *catalog.Rate, unit, each string) []rateLine {
	lines := make([]rateLine, 0, len(r.Tiers))
	var from money.Decimal
	percent := r.Model == catalog.ModelGraduatedPercentage
	units, number := func(q money.Decimal) string { return l.units(q, unit) }, l.number
	if percent {
		units = func(q money.Decimal) string { return l.exact(q, r.Currency) }
		number = units
	}
	for i := range r.Tiers {
		t := &r.Tiers[i]
		bound := "up to "
		if r.HalfOpenBounds {
			bound = "below "
		}
		var words string
		switch {
		case t.Last && i == 0:
			words = "Any amount"
		case t.Last:
			words = "Above " + units(from)
		case i == 0:
			words = strings.ToUpper(bound[:1]) + bound[1:] + units(t.UpTo)
		default:
			words = "Above " + number(from) + ", " + bound + units(t.UpTo)
		}
		if r.Model == catalog.ModelVolume {
			words += ", all at"
		}
		text := l.exact(t.UnitPrice, r.Currency) + each
		if percent {
			text = l.number(t.UnitPrice) + noBreak + "%"
		}
		switch {
		case !t.FlatPrice.IsZero() && t.UnitPrice.IsZero():
			text = l.exact(t.FlatPrice, r.Currency) + " flat"
		case !t.FlatPrice.IsZero():
			text += " + " + l.exact(t.FlatPrice, r.Currency) + " flat"
		case t.UnitPrice.IsZero():
			text = "included"
		}
		lines = append(lines, rateLine{For: words, Price: text})
		from = t.UpTo
	}
	return lines
}

// blockLines names each tier by the units that its blocks and those before it hold.
func (l locale) blockLines(r *catalog.Rate, unit string) []rateLine {
	lines := make([]rateLine, 0, len(r.Blocks))
	var from money.Decimal
	for i := range r.Blocks {
		b := &r.Blocks[i]
		words := "Up to " + l.units(b.UpTo, unit)
		switch {
		case b.Last && i == 0:
			words = "Any amount"
		case b.Last:
			words = "Above " + l.units(from, unit)
		case i > 0:
			words = "Above " + l.number(from) + ", up to " + l.units(b.UpTo, unit)
		}
		if r.Model == catalog.ModelBlockVolume {
			words += ", all at"
		}
		lines = append(lines, rateLine{For: words, Price: l.exact(b.Price, r.Currency) + " per started " + l.units(b.Size, unit)})
		from = b.UpTo
	}
	return lines
}

// units writes a quantity with its unit, in the plural where there are several.
func (l locale) units(q money.Decimal, unit string) string {
	if unit == "" {
		return l.number(q)
	}
	return l.number(q) + noBreak + plural(unit, q)
}

// plural adds an s to a unit that is an English noun in small letters ("request"); symbols (GB, kWh, %)
// and what ends like a plural already stay as they are.
func plural(unit string, q money.Decimal) string {
	if q == money.One || len(unit) < 3 || strings.HasSuffix(unit, "s") {
		return unit
	}
	for i := range len(unit) {
		if unit[i] < 'a' || unit[i] > 'z' {
			return unit
		}
	}
	if stem, ok := strings.CutSuffix(unit, "y"); ok && !strings.ContainsRune("aeiou", rune(stem[len(stem)-1])) {
		return stem + "ies"
	}
	return unit + "s"
}

// attributesText writes attributes in the order of their names: "model m1, region eu".
func attributesText(attributes map[string]string) string {
	if len(attributes) == 0 {
		return ""
	}
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(attributes)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
		b.WriteByte(' ')
		b.WriteString(orElse(attributes[name], "(empty)"))
	}
	return b.String()
}

// periodName calls a period by its month or year when it is one, otherwise by its first and last day.
func periodName(start, end time.Time) string {
	if start.Day() == 1 && end.Day() == 1 && isMidnight(start) && isMidnight(end) {
		if start.AddDate(0, 1, 0).Equal(end) {
			return start.Format("January 2006")
		}
		if start.Month() == time.January && start.AddDate(1, 0, 0).Equal(end) {
			return start.Format("2006")
		}
	}
	return periodDays(start, end)
}

// periodDays names the first and the last day of a half open period.
func periodDays(start, end time.Time) string {
	last := end.Add(-1)
	switch {
	case start.Year() != last.Year():
		return start.Format("2 Jan 2006") + " – " + last.Format("2 Jan 2006")
	case start.Month() != last.Month():
		return start.Format("2 Jan") + " – " + last.Format("2 Jan 2006")
	case start.Day() != last.Day():
		return start.Format("2") + " – " + last.Format("2 Jan 2006")
	}
	return start.Format("2 Jan 2006")
}

func isMidnight(t time.Time) bool {
	return t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 && t.Nanosecond() == 0
}

// zoneName names a zone as people do: "Europe/Berlin, UTC+01:00".
func zoneName(zone *time.Location, at time.Time) string {
	offset := at.In(zone).Format("-07:00")
	if zone.String() == "UTC" {
		return "UTC"
	}
	return zone.String() + ", UTC" + strings.Replace(offset, "-", minus, 1)
}

// reasonWords explains why usage was rejected and what would help.
func reasonWords(reason string) (what, help string) {
	switch reason {
	case "account_unknown":
		return "Account unknown", "Register the account or its identifier, then retry."
	case "product_unknown":
		return "Product unknown", "Add the product or its identifier to the catalogue, then retry."
	case "no_rate":
		return "No rate", "Give the product a rate in the account's currency that covers the event's time, then retry."
	case "not_provisioned":
		return "Not provisioned", "Provision the product on the account, then retry."
	case "too_old":
		return "Too old", "Older than the window for duplicates. Load it with backfill if it is not charged yet."
	case "too_new":
		return "In the future", "Its time is more than an hour ahead. Check the sender's clock; retry once that time has come."
	case "duplicate_conflict":
		return "Duplicate with other content", "An event of the same source and id was rated already. Send the correction under a new id."
	case "late":
		return "Late", "Its period is sealed and the account refuses late usage."
	case "quantity_negative":
		return "Negative quantity", "What is counted, or its largest or latest value, cannot be taken back by a quantity. Name the event: corrects with its source and id, under a new id."
	case "quantity_positive":
		return "Positive quantity", "A correction leaves out the event that it names, so it cannot add. Send it with a quantity of 0 or less, and what is right as an event of its own."
	case "correction_waits":
		return "Correction waits", "Its line is being rated again without the event that it names. Nothing is to be done."
	case "correction_unknown":
		return "Nothing to correct", "The event that it names is not on the same line. Send it with that event's account, product, package, attributes and time; retry if the event came later."
	case "correction_repeated":
		return "Corrected before", "Another correction has left out the event that it names. Nothing is to be done."
	case "correction_impossible":
		return "Cannot be corrected", "Its line cannot be rated again; the job says why. Retry when that is mended."
	case "amount_missing":
		return "Amount missing", "Its rate charges the amount that the event carries. Send it with amount and currency, under a new id."
	case "attribute_missing":
		return "Attribute missing", "Its rate counts the values of an attribute. Send it with that attribute, under a new id."
	case "values_gone":
		return "Period settled", "Its rate counts distinct values, and those of its period, which is closed, are kept for 400 days. What is due for it can be charged at a time of a later period."
	case "period_unbounded":
		return "No period", "Its rate averages over the billing period, and the account's has no end. Give the account a cycle, then retry."
	case "quantity_overflow":
		return "Quantity too large", "The line would exceed the largest amount. Check the quantity."
	case "skipped":
		return "Skipped", "An operator passed over it. Retry when the cause is fixed."
	}
	return strings.ReplaceAll(reason, "_", " "), ""
}

// capital begins a text with a capital letter.
func capital(text string) string {
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return string(text[0]-'a'+'A') + text[1:]
}
