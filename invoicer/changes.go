package invoicer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/price"
)

// changesOf tells how the rates that price a line differ: their members before and after, rates that came, and rates that went.
func changesOf(before, after []price.Segment) []RateChange {
	changes := []RateChange{}
	was := map[string]*catalog.Rate{}
	for i := range before {
		was[before[i].Rate.ID+"\x00"+before[i].Cell] = before[i].Rate
	}
	for i := range after {
		r, key := after[i].Rate, after[i].Rate.ID+"\x00"+after[i].Cell
		old := was[key]
		delete(was, key)
		if old == nil {
			changes = append(changes, RateChange{Rate: r.ID, Seq: r.Seq, Member: "rate", After: "prices this usage"})
			continue
		}
		a, b := membersOf(old), membersOf(r)
		names := maps.Clone(a)
		maps.Copy(names, b)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if a[name] != b[name] {
				changes = append(changes, RateChange{Rate: r.ID, Seq: r.Seq, Member: name, Before: a[name], After: b[name]})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		r := was[key]
		changes = append(changes, RateChange{Rate: r.ID, Seq: r.Seq, Member: "rate", Before: "priced this usage"})
	}
	return changes
}

// membersOf gives what a rate says of prices, each value by its path, as a price list shows it.
func membersOf(r *catalog.Rate) map[string]string {
	shown := rateOf(r, time.UTC)
	shown.Seq = 0
	text, err := json.Marshal(shown)
	if err != nil {
		panic(fmt.Sprintf("bug: a rate cannot be written as JSON: %v", err))
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		panic(fmt.Sprintf("bug: a rate cannot be read back: %v", err))
	}
	members := map[string]string{}
	flatten(members, "", tree)
	return members
}

func flatten(into map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			if path != "" {
				name = path + "." + name
			}
			flatten(into, name, item)
		}
	case []any:
		for i, item := range v {
			flatten(into, fmt.Sprintf("%s[%d]", path, i), item)
		}
	case nil:
	default:
		into[path] = fmt.Sprint(v)
	}
}
