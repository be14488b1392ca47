package pages

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// The chart is an SVG whose widths are percentages and whose heights are pixels, so that one drawing
// fits 360 px and 4K with text of the same size. Floats here are positions on a screen, never money.
const (
	plotHeight  = 250.0 // between the highest gridline and the lowest
	plotTop     = 14.0
	mostSeries  = 6 // products with a colour of their own; the rest is one series
	mostBuckets = 62
	leastSlots  = 7 // so that a period of one day is not one huge bar
)

// chart is what the template draws.
type chart struct {
	Height      float64
	AxisWidth   int
	Axis        []tick
	Slots       []slot
	Legend      []legend
	HasPrevious bool
	Weekly      bool
	Empty       bool
	Summary     string // for those who do not see it
	Rows        []chartRow
}

type tick struct {
	Y     string
	TextY string
	Label string
	Zero  bool
}

// slot is a day, or a week in a long period.
type slot struct {
	Title            string
	GhostX, GhostW   string
	GhostY, GhostH   string // the previous period's amount; GhostH "" when there is none
	GhostTop         string
	Bars             []bar
	LabelX, Label    string
	LabelY           string
	Minor            bool // its label is left out on narrow screens
	Today            bool
	HitX, HitW, HitH string
}

type bar struct {
	Series     int
	X, Y, W, H string
}

type legend struct {
	Series int
	Name   string
	Total  amount
}

// chartRow is a row of the chart as a table.
type chartRow struct {
	Day      string
	Cells    []string
	Total    string
	Previous string
}

// days is the input of a chart, summed to buckets and series.
type days struct {
	labels    []time.Time       // first day of each bucket
	sums      [][]money.Decimal // by bucket and series
	totals    []money.Decimal
	previous  []money.Decimal
	series    []string // product ids; "" is all others
	perSeries []money.Decimal
	weekly    bool
	hasPrev   bool
}

const dayLayout = "2006-01-02"

// add sums for display; an overflow keeps the larger part, no invoice holds such an amount.
func add(a, b money.Decimal) money.Decimal {
	sum, err := a.Add(b)
	if err != nil {
		return a
	}
	return sum
}

// gatherDays sums the charges by day (by week in long periods) and by the products that cost most.
func gatherDays(start, end time.Time, current, previous []DayCharges) *days {
	d := &days{hasPrev: len(previous) > 0}
	var firsts []time.Time
	for day := time.Date(start.Year(), start.Month(), start.Day(), 0, 0, 0, 0, start.Location()); day.Before(end) && len(firsts) < 4000; day = day.AddDate(0, 0, 1) {
		firsts = append(firsts, day)
	}
	step := 1
	if len(firsts) > mostBuckets {
		step, d.weekly = 7, true
	}
	index := map[string]int{}
	for i, day := range firsts {
		if i%step == 0 {
			d.labels = append(d.labels, day)
		}
		index[day.Format(dayLayout)] = i / step
	}
	d.pickSeries(current)
	of := map[string]int{}
	for i, product := range d.series {
		of[product] = i
	}
	d.sums = make([][]money.Decimal, len(d.labels))
	d.totals = make([]money.Decimal, len(d.labels))
	d.previous = make([]money.Decimal, len(d.labels))
	for _, day := range current {
		bucket, ok := index[day.Day]
		if !ok {
			continue
		}
		if d.sums[bucket] == nil {
			d.sums[bucket] = make([]money.Decimal, len(d.series))
		}
		for _, c := range day.Charges {
			series, ok := of[c.Product]
			if !ok {
				series = len(d.series) - 1
			}
			d.sums[bucket][series] = add(d.sums[bucket][series], c.Amount.Decimal)
			d.totals[bucket] = add(d.totals[bucket], c.Amount.Decimal)
		}
	}
	d.addPrevious(previous, step)
	return d
}

// addPrevious lays the previous period over this one by the number of the day, not by its date.
func (d *days) addPrevious(previous []DayCharges, step int) {
	if len(previous) == 0 {
		return
	}
	first, err := time.Parse(dayLayout, previous[0].Day)
	if err != nil {
		return
	}
	if first.Day() != 1 && len(d.labels) > 0 && d.labels[0].Day() == 1 { // a month whose first days had no usage
		first = first.AddDate(0, 0, 1-first.Day())
	}
	for _, day := range previous {
		at, err := time.Parse(dayLayout, day.Day)
		if err != nil {
			continue
		}
		bucket := int(at.Sub(first)/(24*time.Hour)) / step
		if bucket < 0 || bucket >= len(d.previous) {
			continue
		}
		for _, c := range day.Charges {
			d.previous[bucket] = add(d.previous[bucket], c.Amount.Decimal)
		}
	}
}

// pickSeries orders the products by what they cost and joins those beyond the sixth.
func (d *days) pickSeries(current []DayCharges) {
	totals := map[string]money.Decimal{}
	for _, day := range current {
		for _, c := range day.Charges {
			totals[c.Product] = add(totals[c.Product], c.Amount.Decimal)
		}
	}
	for product := range totals {
		d.series = append(d.series, product)
	}
	slices.SortFunc(d.series, func(a, b string) int {
		if c := totals[b].Cmp(totals[a]); c != 0 {
			return c
		}
		if a < b {
			return -1
		}
		return 1
	})
	rest := money.Zero
	if len(d.series) > mostSeries+1 {
		for _, product := range d.series[mostSeries:] {
			rest = add(rest, totals[product])
		}
		d.series = append(d.series[:mostSeries:mostSeries], "")
		totals[""] = rest
	}
	for _, product := range d.series {
		d.perSeries = append(d.perSeries, totals[product])
	}
}

// drawing turns amounts into pixels.
type drawing struct {
	low, high float64 // of the axis
	slot      float64 // width in percent
}

func (g drawing) y(v float64) float64 {
	return plotTop + plotHeight*(g.high-v)/(g.high-g.low)
}

func pixels(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
func percent(v float64) string {
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) + "%"
}

// screen is a decimal as a position; it never comes back into an amount.
func screen(d money.Decimal) float64 {
	v, err := strconv.ParseFloat(d.String(), 64)
	if err != nil {
		return 0
	}
	return v
}

// draw makes the chart of a period. names gives the products' names; now marks today.
func (l locale) draw(d *days, currency string, names map[string]string, now time.Time) *chart {
	c := &chart{HasPrevious: d.hasPrev, Weekly: d.weekly}
	low, high := 0.0, 0.0
	for i := range d.labels {
		up, down := 0.0, 0.0
		for _, v := range d.sums[i] {
			up, down = up+max(screen(v), 0), down+min(screen(v), 0)
		}
		p := screen(d.previous[i])
		low, high = min(low, down, p), max(high, up, p)
	}
	if c.Empty = len(d.series) == 0 && !d.hasPrev || low == high; c.Empty {
		return c
	}
	ticks, g := axis(low, high)
	g.slot = 100 / float64(max(len(d.labels), leastSlots))
	widest := 0
	for _, v := range ticks {
		label := l.tickLabel(v, ticks[1]-ticks[0], currency)
		widest = max(widest, len([]rune(label)))
		c.Axis = append(c.Axis, tick{Y: pixels(g.y(v)), TextY: pixels(g.y(v) + 4), Label: label, Zero: v == 0})
	}
	c.AxisWidth = widest*7 + 8
	c.Height = plotTop + plotHeight + 24
	for i, product := range d.series {
		name := "All other products"
		if product != "" {
			name = orElse(names[product], product)
		}
		c.Legend = append(c.Legend, legend{Series: seriesNumber(i, product), Name: name, Total: l.amount(d.perSeries[i], currency)})
	}
	today := now.In(zoneOf(d.labels)).Format(dayLayout)
	for i := range d.labels {
		c.Slots = append(c.Slots, l.drawSlot(d, i, g, currency, c.Legend, today))
		if d.sums[i] != nil || !d.previous[i].IsZero() {
			c.Rows = append(c.Rows, l.chartRow(d, i, currency))
		}
	}
	return c
}

func zoneOf(labels []time.Time) *time.Location {
	if len(labels) == 0 {
		return time.UTC
	}
	return labels[0].Location()
}

func seriesNumber(i int, product string) int {
	if product == "" {
		return 0
	}
	return i + 1
}

// drawSlot draws one day: behind it the previous period's amount, before it the products, stacked.
func (l locale) drawSlot(d *days, i int, g drawing, currency string, names []legend, today string) slot {
	x := float64(i) * g.slot
	key := d.labels[i].Format(dayLayout)
	s := slot{
		HitX: percent(x), HitW: percent(g.slot), HitH: pixels(plotTop + plotHeight),
		LabelX: percent(x + g.slot/2), LabelY: pixels(plotTop + plotHeight + 18), Today: key == today,
	}
	every := 1
	if len(d.labels) > 15 {
		every = 2
	}
	if d.weekly {
		every = 4
	}
	if i%every == 0 {
		s.Label = d.labels[i].Format("2")
		if d.weekly {
			s.Label = d.labels[i].Format("2 Jan")
		}
		s.Minor = len(d.labels) > 8 && i%7 != 0 || d.weekly && i%8 != 0
	}
	s.Title = l.slotTitle(d, i, currency, names)
	if p := screen(d.previous[i]); d.hasPrev && p != 0 {
		top, bottom := g.y(max(p, 0)), g.y(min(p, 0))
		s.GhostX, s.GhostW = percent(x+g.slot*0.06), percent(g.slot*0.88)
		s.GhostY, s.GhostH, s.GhostTop = pixels(top), pixels(max(bottom-top, 1)), pixels(g.y(p)-0.75)
	}
	up, down := 0.0, 0.0
	for series, v := range d.sums[i] {
		size := screen(v)
		if size == 0 {
			continue
		}
		from, to := up, up+size
		if size < 0 {
			from, to = down+size, down
			down += size
		} else {
			up += size
		}
		height := g.y(from) - g.y(to)
		if height > 3 { // a gap, so that neighbours are told apart without their colours
			height--
		}
		s.Bars = append(s.Bars, bar{
			Series: names[series].Series, X: percent(x + g.slot*0.19), W: percent(g.slot * 0.62),
			Y: pixels(g.y(to)), H: pixels(max(height, 0.5)),
		})
	}
	return s
}

func (l locale) bucketName(d *days, i int) string {
	if d.weekly {
		return "Week of " + d.labels[i].Format("2 January")
	}
	return d.labels[i].Format("Mon 2 January")
}

func (l locale) slotTitle(d *days, i int, currency string, names []legend) string {
	text := l.bucketName(d, i) + ": " + l.money(d.totals[i], currency)
	for series, v := range d.sums[i] {
		if !v.IsZero() && len(d.series) > 1 {
			text += "\n" + names[series].Name + " " + l.money(v, currency)
		}
	}
	if d.hasPrev {
		text += "\nPrevious period: " + l.money(d.previous[i], currency)
	}
	return text
}

func (l locale) chartRow(d *days, i int, currency string) chartRow {
	row := chartRow{Day: l.bucketName(d, i), Total: l.money(d.totals[i], currency), Previous: l.money(d.previous[i], currency)}
	for series := range d.series {
		var v money.Decimal
		if d.sums[i] != nil {
			v = d.sums[i][series]
		}
		row.Cells = append(row.Cells, l.money(v, currency))
	}
	return row
}

// axis chooses three to six gridlines at round amounts around [low, high], zero among them.
func axis(low, high float64) ([]float64, drawing) {
	rough := (high - low) / 4
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * power
	for _, nice := range []float64{1, 2, 2.5, 5} {
		if nice*power >= rough {
			step = nice * power
			break
		}
	}
	first, last := math.Floor(low/step), math.Ceil(high/step)
	ticks := make([]float64, 0, 8)
	for k := first; k <= last; k++ {
		ticks = append(ticks, k*step)
	}
	return ticks, drawing{low: first * step, high: last * step}
}

func (l locale) tickLabel(v, step float64, currency string) string {
	decimals := 0
	if step < 1 || step != math.Trunc(step) {
		decimals = min(max(int(math.Ceil(-math.Log10(step))), 1), money.Scale)
		if step*math.Pow(10, float64(decimals)) != math.Trunc(step*math.Pow(10, float64(decimals))) {
			decimals++
		}
	}
	return l.withCurrency(l.plain(strconv.FormatFloat(v, 'f', decimals, 64)), currency)
}
