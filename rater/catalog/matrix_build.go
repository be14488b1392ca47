package catalog

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// Bounds of a matrix. A list of values or a range that others cut stands at several places of the tree; only a matrix of very many
// overlapping lists comes near.
const (
	maxMatrixEntries = 50_000
	maxMatrixPlaces  = 500_000
)

var errMatrixTooLarge = errors.New("its entries overlap in too many combinations: use fewer values in lists, or fewer dimensions")

// clash is two entries of which no rule says which one prices what both match.
type clash struct{ first, second int }

// NewMatrix makes a matrix of entries and a default, which may be nil. It names the cells of their rates. An error says that the matrix would
// be too large; matches that the catalogue refuses as ambiguous are not an error here: the first one written prices.
func NewMatrix(dimensions []Dimension, entries []Entry, otherwise *Rate) (*Matrix, error) {
	m := &Matrix{Dimensions: dimensions, Entries: entries, Default: otherwise}
	_, err := m.build()
	return m, err
}

// build makes the tree. It returns the clashes; of two entries that clash the first one written prices.
func (m *Matrix) build() ([]clash, error) {
	for i := range m.Entries {
		m.Entries[i].Rate.Cell = m.cell(m.Entries[i].Match)
	}
	b := matrixBuilder{matrix: m, alike: make([]int, len(m.Entries)), cuts: map[string]*cuts{}, clashes: map[clash]bool{}}
	all, groups := make([]int, len(m.Entries)), map[string]int{}
	for i := range all {
		key := m.cellOf(m.Entries[i].Match, false)
		if _, ok := groups[key]; !ok {
			groups[key] = i
		}
		all[i], b.alike[i] = i, groups[key]
	}
	var err error
	if m.root, err = b.branch(0, all); err != nil {
		return nil, err
	}
	m.cells = make(map[string]*Rate, len(m.Entries)+1)
	for i := range m.Entries {
		if r := m.Entries[i].Rate; m.cells[r.Cell] == nil {
			m.cells[r.Cell] = r
		}
	}
	if m.Default != nil {
		m.Default.Cell = DefaultCell
		m.cells[DefaultCell] = m.Default
	}
	clashes := make([]clash, 0, len(b.clashes))
	for c := range b.clashes {
		clashes = append(clashes, c)
	}
	slices.SortFunc(clashes, func(a, b clash) int { return cmp.Or(a.second-b.second, a.first-b.first) })
	return clashes, nil
}

type matrixBuilder struct {
	matrix  *Matrix
	places  int
	alike   []int // the first entry that is the same but for ranges and times
	cuts    map[string]*cuts
	clashes map[clash]bool
}

// branch leads to the entries that match alike in the dimensions before level; they stand in the order of the document.
func (b *matrixBuilder) branch(level int, entries []int) (branch, error) {
	if b.places += len(entries); b.places > maxMatrixPlaces {
		return branch{}, errMatrixTooLarge
	}
	if !slices.ContainsFunc(entries, func(i int) bool {
		return slices.ContainsFunc(b.matrix.Entries[i].Match[level:], func(c Condition) bool { return c.Named })
	}) {
		return b.end(entries), nil
	}
	n := &matrixNode{}
	var named, left []int
	for _, i := range entries {
		if b.matrix.Entries[i].Match[level].Named {
			named = append(named, i)
		} else {
			left = append(left, i)
		}
	}
	var err error
	if len(left) > 0 {
		if n.any, err = b.branch(level+1, left); err != nil {
			return branch{}, err
		}
	}
	if len(named) > 0 {
		switch b.matrix.Dimensions[level].By {
		case ByRange:
			err = b.ranges(n, level, named)
		case ByTimeOfDay:
			err = b.times(n, level, named)
		case ByWeekday:
			err = b.weekdays(n, level, named)
		default:
			err = b.values(n, level, named)
		}
	}
	return branch{node: n}, err
}

// end is where entries match alike in every dimension: the first one written prices.
func (b *matrixBuilder) end(entries []int) branch {
	if len(entries) > 1 {
		before := make(map[int]int, len(entries))
		for _, i := range entries {
			if j, ok := before[b.alike[i]]; ok {
				b.clashes[clash{j, i}] = true
			}
			before[b.alike[i]] = i
		}
	}
	if len(entries) == 0 {
		return branch{}
	}
	return branch{rate: b.matrix.Entries[entries[0]].Rate}
}

// branches makes one for each list of entries that is not empty; equal lists share theirs.
func (b *matrixBuilder) branches(level int, lists [][]int) ([]branch, error) {
	out := make([]branch, len(lists))
	made := map[string]branch{}
	var key []byte
	for at, list := range lists {
		if len(list) == 0 {
			continue
		}
		key = key[:0]
		for _, i := range list {
			key = binary.AppendUvarint(key, uint64(i))
		}
		along, ok := made[string(key)]
		if !ok {
			var err error
			if along, err = b.branch(level+1, list); err != nil {
				return nil, err
			}
			made[string(key)] = along
		}
		out[at] = along
	}
	return out, nil
}

func (b *matrixBuilder) weekdays(n *matrixNode, level int, entries []int) error {
	lists := make([][]int, daysOfWeek)
	for _, i := range entries {
		for day := range lists {
			if b.matrix.Entries[i].Match[level].Days&(1<<day) != 0 {
				lists[day] = append(lists[day], i)
			}
		}
	}
	var err error
	n.branches, err = b.branches(level, lists)
	return err
}

// values makes the branches of texts that are compared whole or as prefixes.
func (b *matrixBuilder) values(n *matrixNode, level int, entries []int) error {
	byValue := map[string][]int{}
	for _, i := range entries {
		for _, v := range b.matrix.Entries[i].Match[level].Values {
			byValue[v] = append(byValue[v], i)
		}
	}
	values := make([]string, 0, len(byValue))
	for v := range byValue {
		values = append(values, v)
	}
	slices.Sort(values)
	lists := make([][]int, len(values))
	for at, v := range values {
		lists[at] = byValue[v]
	}
	along, err := b.branches(level, lists)
	if err != nil {
		return err
	}
	if b.matrix.Dimensions[level].By == ByPrefix {
		n.prefixes = newPrefixTable(values, along)
		return nil
	}
	n.exact = make(map[string]branch, len(values))
	for at, v := range values {
		n.exact[v] = along[at]
	}
	return nil
}

// ranges cuts the numbers at every bound, so that between two bounds the same entries match.
func (b *matrixBuilder) ranges(n *matrixNode, level int, entries []int) error {
	var bounds []money.Decimal
	for _, i := range entries {
		c := &b.matrix.Entries[i].Match[level]
		for _, end := range [2]Ordinal{c.From, c.To} {
			if end.Set {
				bounds = append(bounds, end.Value)
			}
		}
	}
	slices.SortFunc(bounds, money.Decimal.Cmp)
	bounds = slices.Compact(bounds)
	lists := make([][]int, len(bounds)+1)
	for _, i := range entries {
		c := &b.matrix.Entries[i].Match[level]
		first, end := 0, len(lists)
		if c.From.Set {
			at, _ := slices.BinarySearchFunc(bounds, c.From.Value, money.Decimal.Cmp)
			first = at + 1
		}
		if c.To.Set {
			at, _ := slices.BinarySearchFunc(bounds, c.To.Value, money.Decimal.Cmp)
			end = at + 1
		}
		if b.places += end - first; b.places > maxMatrixPlaces {
			return errMatrixTooLarge
		}
		for at := first; at < end; at++ {
			lists[at] = append(lists[at], i)
		}
	}
	n.cuts = b.shared(&cuts{bounds: bounds})
	var err error
	n.branches, err = b.branches(level, lists)
	return err
}

// times cuts the day likewise.
func (b *matrixBuilder) times(n *matrixNode, level int, entries []int) error {
	minutes := []int{0}
	for _, i := range entries {
		c := b.matrix.Entries[i].Match[level].Minutes
		minutes = append(minutes, c.From, c.To%minutesOfDay)
	}
	slices.Sort(minutes)
	minutes = slices.Compact(minutes)
	lists := make([][]int, len(minutes))
	for _, i := range entries {
		c := b.matrix.Entries[i].Match[level].Minutes
		for at, minute := range minutes {
			if c.contains(minute) {
				lists[at] = append(lists[at], i)
			}
		}
	}
	n.cuts = b.shared(&cuts{minutes: minutes})
	var err error
	n.branches, err = b.branches(level, lists)
	return err
}

// shared gives the same cuts to all nodes that cut alike: they are in a cache where the nodes are not.
func (b *matrixBuilder) shared(c *cuts) *cuts {
	key := fmt.Sprint(c.minutes, c.bounds)
	if b.cuts[key] == nil {
		b.cuts[key] = c
	}
	return b.cuts[key]
}

func (c Minutes) contains(minute int) bool {
	if c.From < c.To {
		return c.From <= minute && minute < c.To
	}
	return c.From <= minute || minute < c.To
}

// newPrefixTable takes prefixes in order, none of them empty, with the branches of each.
func newPrefixTable(prefixes []string, branches []branch) *prefixTable {
	p := &prefixTable{
		filter: make([]uint64, powerOfTwo(len(prefixes)/8)), slots: make([]prefixSlot, powerOfTwo(len(prefixes)+len(prefixes)/2)),
		keys: make([]prefixKey, len(prefixes)), branches: branches, text: strings.Join(prefixes, ""),
	}
	var begun []int // the prefixes that the one at hand begins with
	start := 0
	for i, prefix := range prefixes {
		for len(begun) > 0 && !strings.HasPrefix(prefix, prefixes[begun[len(begun)-1]]) {
			begun = begun[:len(begun)-1]
		}
		shorter := -1
		if len(begun) > 0 {
			shorter = begun[len(begun)-1]
		}
		begun = append(begun, i)
		p.keys[i] = prefixKey{start: uint32(start), end: uint32(start + len(prefix)), shorter: int32(shorter)}
		start += len(prefix)
		p.most = max(p.most, len(prefix))
		p.put(prefix, int32(i+1))
	}
	return p
}

// powerOfTwo gives the lowest that is more than n.
func powerOfTwo(n int) int { return 1 << bits.Len(uint(n)) }

func (p *prefixTable) put(prefix string, key int32) {
	hash := uint64(hashStart)
	for i := range len(prefix) {
		hash = (hash ^ uint64(prefix[i])) * hashPrime
	}
	mixed := hash * hashMix
	p.filter[mixed>>40&uint64(len(p.filter)-1)] |= 1 << (mixed >> 58)
	slot := int(mixed>>20) & (len(p.slots) - 1)
	for p.slots[slot].key != 0 {
		slot = (slot + 1) & (len(p.slots) - 1)
	}
	p.slots[slot] = prefixSlot{hash: uint32(mixed), key: key}
}

// cellOf writes a match in canonical text: the dimensions by name, each with its values in order. Without spans it says of
// ranges and times only that they are there.
func (m *Matrix) cellOf(match []Condition, spans bool) string {
	var parts []string
	for i := range match {
		if !match[i].Named {
			continue
		}
		part, by := escaped(m.Dimensions[i].Name)+"=", m.Dimensions[i].By
		if spans || by == ByExact || by == ByPrefix {
			part += match[i].text(by)
		}
		parts = append(parts, part)
	}
	slices.Sort(parts)
	return strings.Join(parts, "&")
}

// cell names the match: its canonical text or, where that is long, the beginning and a digest of the whole.
func (m *Matrix) cell(match []Condition) string {
	text := m.cellOf(match, true)
	const longest, kept, digest = 80, 40, 16
	if len(text) <= longest {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return strings.ToValidUTF8(text[:kept], "") + "…" + hex.EncodeToString(sum[:digest])
}

func (c *Condition) text(by string) string {
	switch by {
	case ByRange:
		return c.From.String() + ".." + c.To.String()
	case ByTimeOfDay:
		return clockText(c.Minutes.From) + "-" + clockText(c.Minutes.To)
	case ByWeekday:
		return strings.Join(c.Days.names(), ",")
	}
	values := make([]string, len(c.Values))
	for i, v := range c.Values {
		values[i] = escaped(v)
	}
	return strings.Join(values, ",")
}

func (o Ordinal) String() string {
	if !o.Set {
		return ""
	}
	return o.Value.String()
}

var cellEscapes = strings.NewReplacer("%", "%25", "&", "%26", ",", "%2C", "=", "%3D", "…", "%E2%80%A6")

func escaped(text string) string { return cellEscapes.Replace(text) }
