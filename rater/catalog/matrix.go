package catalog

import (
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// Matrix chooses among prices by what an event says of itself. It never changes after it is built.
type Matrix struct {
	Dimensions []Dimension
	Entries    []Entry // as they are written
	Default    *Rate   // prices what no entry matches; nil: nothing does

	root  branch
	cells map[string]*Rate
	held  *held // nil: the entries' rates are as they are written
}

// held gives the entries of a matrix that others share what is another's of the rate around them: in a rate class, of the account that
// reaches it. An entry is copied when it is first used, for an account uses few of many.
type held struct {
	outer *Rate
	mine  sync.Map // *Rate → *Rate
}

// heldBy gives the matrix as the rate holds it, which is a copy of the one whose entries it has.
func (m *Matrix) heldBy(outer *Rate) *Matrix {
	own := *m
	own.held = &held{outer: outer}
	return &own
}

func (h *held) of(r *Rate) *Rate {
	if h == nil || r == nil {
		return r
	}
	if mine, ok := h.mine.Load(r); ok {
		return mine.(*Rate)
	}
	c := *r
	c.Start, c.End, c.OwnerAccount, c.Outer = h.outer.Start, h.outer.End, h.outer.OwnerAccount, h.outer
	mine, _ := h.mine.LoadOrStore(r, &c)
	return mine.(*Rate)
}

// Dimension is what entries are told apart by.
type Dimension struct {
	Name string
	From string // the attribute that is compared; empty: the time
	By   string // exact, prefix, range, time_of_day, weekday
}

// Entry is one price of a matrix.
type Entry struct {
	Match []Condition // one a dimension
	Rate  *Rate
}

// Condition is what an entry asks of one dimension.
type Condition struct {
	Named    bool     // otherwise anything matches
	Values   []string // exact, prefix: sorted
	From, To Ordinal  // range, half open
	Minutes  Minutes  // time_of_day
	Days     Weekdays // weekday
}

// Ordinal is an end of a range; not Set: open.
type Ordinal struct {
	Set   bool
	Value money.Decimal
}

// Minutes is a part of the local day, half open, in minutes since midnight; it runs over midnight where From is above To.
type Minutes struct{ From, To int }

// Weekdays has a bit for each day, Monday's is the first.
type Weekdays uint8

// How a dimension compares.
const (
	ByExact     = "exact"
	ByPrefix    = "prefix"
	ByRange     = "range"
	ByTimeOfDay = "time_of_day"
	ByWeekday   = "weekday"
)

const (
	minutesOfDay = 24 * 60
	daysOfWeek   = 7
)

// MostDimensions bounds the dimensions of a matrix, so that the values of an event fit an array.
const MostDimensions = 8

// Select gives the rate of the entry that prices an event, or the default, or nil. values holds for each dimension the event's
// attribute of the name in From, empty where it has none; dimensions of time are passed over. The zone is the account's.
//
// Of the entries that match, dimension by dimension in their order, one that names the dimension goes before one that
// leaves it out, and a longer prefix before a shorter; then the first one written. It does not allocate.
func (m *Matrix) Select(values []string, t int64, zone *time.Location) *Rate {
	q := question{matrix: m, values: values, t: t, zone: zone}
	r := q.find(&m.root, 0)
	if r == nil {
		r = m.Default
	}
	return m.held.of(r)
}

// Entry gives the rate of the cell, nil: the matrix has none. A cell names the match of an entry in canonical text, so that usage
// under one match goes on where its price changes; see Rate.Cell.
func (m *Matrix) Entry(cell string) *Rate { return m.held.of(m.cells[cell]) }

// DefaultCell is the cell of the default.
const DefaultCell = "default"

// branch is where the tree goes on, or the rate where no dimension that follows is named. The zero branch leads nowhere.
type branch struct {
	node *matrixNode
	rate *Rate
}

// matrixNode decides by one dimension. Entries that match alike so far stand below the same node.
type matrixNode struct {
	any      branch
	branches []branch // range, time_of_day, weekday: of the cuts, or of the seven days
	cuts     *cuts    // range, time_of_day
	prefixes *prefixTable
	exact    map[string]branch
}

// cuts are where ranges or times begin and end. Many nodes share them.
type cuts struct {
	minutes []int           // branch i begins there; the first is 0
	bounds  []money.Decimal // branch i+1 is for what begins at bound i, branch 0 for what lies below the first
}

// question is what is asked of a matrix, with what is worked out once.
type question struct {
	matrix   *Matrix
	values   []string
	t        int64
	zone     *time.Location
	local    bool
	minute   int
	weekday  int
	numbers  [MostDimensions]money.Decimal
	isParsed uint16
	isNumber uint16
}

// find gives the first entry along the branch, in the order of preference.
func (q *question) find(along *branch, level int) *Rate {
	n := along.node
	if n == nil {
		return along.rate
	}
	switch q.matrix.Dimensions[level].By {
	case ByPrefix:
		if n.prefixes != nil && level < len(q.values) {
			for i := n.prefixes.longest(q.values[level]); i >= 0; i = int(n.prefixes.keys[i].shorter) {
				if r := q.find(&n.prefixes.branches[i], level+1); r != nil {
					return r
				}
			}
		}
	case ByRange:
		if n.cuts != nil && q.number(level) {
			bounds, v := n.cuts.bounds, q.numbers[level]
			at := sort.Search(len(bounds), func(i int) bool { return bounds[i].Cmp(v) > 0 })
			if r := q.find(&n.branches[at], level+1); r != nil {
				return r
			}
		}
	case ByTimeOfDay:
		if n.cuts != nil {
			q.clock()
			minutes := n.cuts.minutes
			at := len(minutes) - 1
			for minutes[at] > q.minute {
				at--
			}
			if r := q.find(&n.branches[at], level+1); r != nil {
				return r
			}
		}
	case ByWeekday:
		if len(n.branches) > 0 {
			q.clock()
			if r := q.find(&n.branches[q.weekday], level+1); r != nil {
				return r
			}
		}
	default:
		if n.exact != nil && level < len(q.values) {
			named := n.exact[q.values[level]]
			if r := q.find(&named, level+1); r != nil {
				return r
			}
		}
	}
	return q.find(&n.any, level+1)
}

// number parses the dimension's value, once; false: it is no number.
func (q *question) number(level int) bool {
	bit := uint16(1) << level
	if q.isParsed&bit == 0 {
		q.isParsed |= bit
		if level < len(q.values) {
			if d, err := money.Parse(q.values[level]); err == nil {
				q.numbers[level] = d
				q.isNumber |= bit
			}
		}
	}
	return q.isNumber&bit != 0
}

// clock works out what clocks and calendars in the zone show.
func (q *question) clock() {
	if q.local {
		return
	}
	q.local = true
	_, offset := time.Unix(0, q.t).In(q.zone).Zone()
	seconds := floorDiv(int(q.t), int(time.Second)) + offset
	day := floorDiv(seconds, 24*60*60)
	q.minute = (seconds - day*24*60*60) / 60
	const thursday = 3 // 1 January 1970
	q.weekday = day + thursday - daysOfWeek*floorDiv(day+thursday, daysOfWeek)
}

// prefixTable finds the longest of many prefixes of a text. It hashes the text's beginnings, notes those that a filter knows, and
// looks up the longest of them: the filter stays in the processor's nearest cache, where a walk down a tree of thousands of
// prefixes would wait for memory at each letter.
type prefixTable struct {
	filter   []uint64     // a bit for each hash of a prefix; a power of two bits, eight a prefix or more
	slots    []prefixSlot // a power of two, at most two thirds of them taken
	keys     []prefixKey  // the prefixes in order
	text     string       // the prefixes one after another
	branches []branch     // of each
	most     int          // bytes of the longest
}

// prefixKey is a prefix: where it stands in the text of all.
type prefixKey struct {
	start, end uint32
	shorter    int32 // the next shorter prefix of this one, -1: none
}

type prefixSlot struct {
	hash uint32
	key  int32 // plus one; 0: free
}

// hashing is FNV-1a, which is made byte by byte, its bits mixed once more for each use.
const (
	hashStart = 14695981039346656037
	hashPrime = 1099511628211
	hashMix   = 0x9e3779b97f4a7c15
)

// longest gives the longest prefix of the text, -1: none.
func (p *prefixTable) longest(text string) int {
	var candidates [32]uint64 // hashes, the longest last
	n, hash, mask := 0, uint64(hashStart), uint64(len(p.filter)-1)
	if len(text) > p.most {
		text = text[:p.most]
	}
	for i := 0; i < len(text); i++ {
		hash = (hash ^ uint64(text[i])) * hashPrime
		mixed := hash * hashMix
		candidates[n%len(candidates)] = mixed
		n += int(p.filter[mixed>>40&mask] >> (mixed >> 58) & 1) // without a branch, which would be guessed wrong
	}
	for i := n - 1; i >= max(0, n-len(candidates)); i-- {
		if key := p.lookup(candidates[i%len(candidates)], text); key >= 0 {
			return key
		}
	}
	if n <= len(candidates) {
		return -1
	}
	for key := len(p.keys) - 1; key >= 0; key-- { // of two that begin the text the longer stands behind
		if p.begins(key, text) {
			return key
		}
	}
	return -1
}

// lookup finds the prefix of that hash which the text begins with, -1: none.
func (p *prefixTable) lookup(mixed uint64, text string) int {
	for slot := int(mixed>>20) & (len(p.slots) - 1); p.slots[slot].key != 0; slot = (slot + 1) & (len(p.slots) - 1) {
		if s := p.slots[slot]; s.hash == uint32(mixed) && p.begins(int(s.key-1), text) {
			return int(s.key - 1)
		}
	}
	return -1
}

// begins says whether the text begins with the prefix.
func (p *prefixTable) begins(key int, text string) bool {
	k := &p.keys[key]
	return strings.HasPrefix(text, p.text[k.start:k.end])
}
