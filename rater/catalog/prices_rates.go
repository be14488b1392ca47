package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tierColumns are members of a tier where the model has tiers.
var tierColumns = []string{"up_to", "unit_price", "flat_price", "rate", "block_size", "max_blocks", "price"}

var onlyOfTiers = []string{"up_to", "flat_price", "block_size", "max_blocks"}

var tieredModels = []Model{ModelGraduated, ModelVolume, ModelBlockGraduated, ModelBlockVolume, ModelGraduatedPercentage, ModelCapacity}

// outerColumns hold for all prices of a matrix.
var outerColumns = []string{
	"dimensions", "minimum", "minimum_prorated", "aggregation", "attribute", columnAverage, "rounding.mode", "rounding.precision", "rounding.on", "rounding.first", "rounding.next",
	"tiers_restart", "pool",
}

// rate makes a node of a rate's rows.
func (l *priceList) rate(g *priceGroup, p *priceRows) *node {
	line := p.rows[0].line
	n := object(line)
	if g.level == string(LevelRateClass) || g.level == string(LevelContract) || g.level == string(LevelAccountPackageProduct) {
		n.set("product", line, scalar(line, g.product))
	}
	if g.level == string(LevelContract) && g.pkg != "" {
		n.set("package", line, scalar(line, g.pkg))
	}
	for _, x := range []struct{ name, text string }{{"id", p.id}, {"currency", p.currency}, {"start", p.start}, {"end", p.end}} {
		if x.text != "" {
			n.set(x.name, line, scalar(line, x.text))
		}
	}
	matched := func(r priceRow) bool {
		return r.cells["model"] == string(ModelMatrix) || slices.ContainsFunc(l.order, func(c string) bool { return strings.HasPrefix(c, columnMatch) && r.cells[c] != "" })
	}
	if slices.ContainsFunc(p.rows, matched) {
		l.matrixRows(n, p.rows)
	} else {
		l.priceRows(n, p.rows, nil)
	}
	return n
}

// priceRows writes the members of a rate, or of a price inside a matrix, into the node; those of outer go there.
func (l *priceList) priceRows(n *node, rows []priceRow, outer *node) {
	model := ""
	for i := range rows {
		r := &rows[i]
		said := r.cells["model"]
		switch {
		case model == "":
			model = said
		case said != "" && said != model:
			l.fail(l.cell(r.line, "model"), "is %q here and %q in line %d, and the rate is the same: give each a start or a currency of its own, or leave one out", shorten(said), model, rows[0].line)
			return
		}
	}
	if model == "" && rows[0].cells["unit_price"] != "" && !slices.ContainsFunc(rows, func(r priceRow) bool { return r.cells["up_to"] != "" || r.cells["flat_price"] != "" }) {
		model = string(ModelPerUnit)
	}
	if model == "" {
		l.fail(l.cell(rows[0].line, "model"), "is missing: use one of %s", listed(models, ", "))
		return
	}
	n.set("model", rows[0].line, scalar(rows[0].line, model))
	tiered := slices.Contains(tieredModels, Model(model))
	tiers := &node{form: nodeList, line: rows[0].line}
	seen := map[string]*priceRow{}
	for i := range rows {
		r := &rows[i]
		if i > 0 && !tiered && outer != nil {
			l.fail(l.cell(r.line, columnProduct), "matches the same as line %d: leave one of the two out", rows[0].line)
			return
		}
		if i > 0 && !tiered {
			l.fail(l.cell(r.line, columnProduct), "is there twice with the same level, owner, currency and start, in line %d too: give one of them another start or currency, or leave it out", rows[0].line)
			return
		}
		tier := object(r.line)
		for _, column := range l.order {
			text := r.cells[column]
			if text == "" || column == "model" || slices.Contains(keyColumns, column) || strings.HasPrefix(column, columnMatch) {
				continue
			}
			member := column
			if column == columnAverage {
				member = "level"
			}
			if tiered && (slices.Contains(tierColumns, column) || strings.HasPrefix(column, columnLimits)) {
				tier.put(member, r.line, text)
				continue
			}
			if !tiered && (slices.Contains(onlyOfTiers, column) || strings.HasPrefix(column, columnLimits)) && slices.Contains(models, Model(model)) {
				l.fail(l.cell(r.line, column), "is part of a tier, and the model %s has none: use a model with tiers such as graduated, or empty the cell", model)
				continue
			}
			if first := seen[column]; first != nil {
				if first.cells[column] != text {
					l.fail(l.cell(r.line, column), "is %q here and %q in line %d: the tiers of a rate have it together", shorten(text), shorten(first.cells[column]), first.line)
				}
				continue
			}
			seen[column] = r
			if outer != nil && slices.Contains(outerColumns, column) {
				l.outer(outer, member, r.line, text)
				continue
			}
			n.put(member, r.line, text)
		}
		tiers.items = append(tiers.items, tier)
	}
	if tiered {
		n.set("tiers", rows[0].line, tiers)
	}
}

// outer writes what holds for a whole matrix, which each of its rows may say.
func (l *priceList) outer(n *node, member string, line int, text string) {
	at := n
	head, rest, dotted := strings.Cut(member, ".")
	if dotted {
		if at = n.member(head); at == nil {
			at, rest = object(0), ""
		}
		head = rest
	}
	if said := at.member(head); said != nil {
		if said.text != text {
			l.fail(l.cell(line, member), "is %q here and %q in line %d: all prices of a matrix have it together", shorten(text), shorten(said.text), said.line)
		}
		return
	}
	n.put(member, line, text)
}

// matrixRows writes a matrix: a row with the model matrix says what holds for all of it, others are its prices, and one without a match is
// the price for everything else.
func (l *priceList) matrixRows(n *node, rows []priceRow) {
	line := rows[0].line
	n.set("model", line, scalar(line, string(ModelMatrix)))
	prices := &node{form: nodeList, line: line}
	var dimensions *node
	entries := map[string]*[]priceRow{}
	var order []string
	for i := range rows {
		r := &rows[i]
		if r.cells["model"] == string(ModelMatrix) {
			for _, column := range l.order {
				text := r.cells[column]
				switch {
				case text == "" || column == "model" || slices.Contains(keyColumns, column):
				case column == "dimensions":
					dimensions = l.dimensions(r.line, text)
				case strings.HasPrefix(column, columnMatch):
					l.fail(l.cell(r.line, column), "says what is matched beside the model matrix: write the model of that price, such as per_unit")
				case column == columnAverage:
					l.outer(n, "level", r.line, text)
				default:
					l.outer(n, column, r.line, text)
				}
			}
			continue
		}
		if text := r.cells["dimensions"]; text != "" {
			if dimensions == nil {
				dimensions = l.dimensions(r.line, text)
			}
			delete(r.cells, "dimensions")
		}
		var key strings.Builder
		for _, column := range l.order {
			if text := r.cells[column]; text != "" && strings.HasPrefix(column, columnMatch) {
				fmt.Fprintf(&key, "%q=%q;", column, text)
			}
		}
		if entries[key.String()] == nil {
			entries[key.String()] = &[]priceRow{}
			order = append(order, key.String())
		}
		*entries[key.String()] = append(*entries[key.String()], *r)
	}
	if dimensions == nil {
		dimensions = l.impliedDimensions(line, rows)
	}
	n.set("dimensions", dimensions.line, dimensions)
	for _, key := range order {
		list := *entries[key]
		entry := object(list[0].line)
		if key != "" {
			entry.set("match", list[0].line, l.match(&list[0], dimensions))
		}
		l.priceRows(entry, list, n)
		if key == "" {
			n.set("default", list[0].line, entry)
		} else {
			prices.items = append(prices.items, entry)
		}
	}
	n.set("prices", line, prices)
}

// dimensions reads a cell such as: dest by prefix | size by range | tariff from plan. One that begins with a bracket is JSON, as in a document.
func (l *priceList) dimensions(line int, text string) *node {
	list := &node{form: nodeList, line: line}
	if strings.HasPrefix(text, "[") {
		n, err := parseJSON("dimensions", []byte(text))
		if err == nil {
			n.move(line)
			return n
		}
		var issues *Issues
		if errors.As(err, &issues) {
			l.fail(l.cell(line, "dimensions"), "%s", issues.List[0].Message)
		}
		return list
	}
	for part := range strings.SplitSeq(text, "|") {
		n := object(line)
		name, by, hasBy := strings.Cut(strings.TrimSpace(part), " by ")
		name, from, hasFrom := strings.Cut(name, " from ")
		n.set("name", line, scalar(line, strings.TrimSpace(name)))
		if hasFrom {
			n.set("from", line, scalar(line, strings.TrimSpace(from)))
		}
		if hasBy {
			n.set("by", line, scalar(line, strings.TrimSpace(by)))
		}
		list.items = append(list.items, n)
	}
	return list
}

// impliedDimensions are those of the columns that the rows use: match.dest by prefix.
func (l *priceList) impliedDimensions(line int, rows []priceRow) *node {
	list := &node{form: nodeList, line: line}
	seen := map[string]bool{}
	for _, column := range l.order {
		name, ok := strings.CutPrefix(column, columnMatch)
		if !ok || !slices.ContainsFunc(rows, func(r priceRow) bool { return r.cells[column] != "" }) {
			continue
		}
		by := l.kinds[column]
		dimension, end := spanOf(name)
		if end != "" && by == "" {
			by = ByRange
		}
		if seen[dimension] {
			continue
		}
		seen[dimension] = true
		n := object(line)
		n.set("name", line, scalar(line, dimension))
		if by != "" {
			n.set("by", line, scalar(line, by))
		}
		list.items = append(list.items, n)
	}
	return list
}

// match makes the node of what an entry matches.
func (l *priceList) match(r *priceRow, dimensions *node) *node {
	names := map[string]bool{}
	for _, d := range dimensions.items {
		if name := d.member("name"); name != nil {
			names[name.text] = true
		} else {
			names[d.text] = true
		}
	}
	match := object(r.line)
	for _, column := range l.order {
		name, ok := strings.CutPrefix(column, columnMatch)
		text := r.cells[column]
		if !ok || text == "" {
			continue
		}
		if dimension, end := spanOf(name); end != "" && !names[name] {
			span := match.member(dimension)
			if span == nil {
				span = object(r.line)
				match.set(dimension, r.line, span)
			}
			span.set(end, r.line, scalar(r.line, text))
			continue
		}
		values := splitValues(text)
		if len(values) == 1 {
			match.set(name, r.line, scalar(r.line, values[0]))
			continue
		}
		list := &node{form: nodeList, line: r.line}
		for _, v := range values {
			list.items = append(list.items, scalar(r.line, v))
		}
		match.set(name, r.line, list)
	}
	return match
}

// splitValues splits 49|33; of a value \| is a stroke and \s a space at its ends, where others count for nothing.
func splitValues(text string) (values []string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && strings.IndexByte(`|\s`, text[i+1]) >= 0:
			if i++; text[i] == 's' {
				b.WriteByte(' ')
			} else {
				b.WriteByte(text[i])
			}
		case text[i] == '|':
			values = append(values, b.String())
			b.Reset()
		default:
			b.WriteByte(text[i])
		}
	}
	return append(values, b.String())
}
