package catalog

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// MarshalJSON writes an identifier without a period as its text alone.
func (d *identifierDef) MarshalJSON() ([]byte, error) {
	if d.Start.IsZero() && d.End.IsZero() {
		return json.Marshal(d.Value)
	}
	type whole identifierDef
	return json.Marshal((*whole)(d))
}

// UnmarshalJSON reads both forms.
func (d *identifierDef) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, &d.Value)
	}
	type whole identifierDef
	return json.Unmarshal(data, (*whole)(d))
}

// identifiers carries each account's history on and checks that no identifier names two accounts
// at a time. What was looked up before now keeps its answer: history is only added to.
func (v *revision) identifiers() {
	for _, d := range v.doc.accounts {
		v.history(d)
	}
	held := map[string][]heldIdentifier{}
	for _, d := range v.doc.accounts {
		for _, i := range d.Identifiers {
			held[i.Value] = append(held[i.Value], heldIdentifier{d.ID, i.Start.startAt(), i.End.endAt(), &i.at})
		}
		for _, h := range v.stored.Holders[d.ID] {
			if h.Account != d.ID {
				v.fail(d.at.member("id"), "%q is or was an identifier of the account %q", d.ID, h.Account)
				break
			}
		}
	}
	for _, d := range v.doc.accounts {
		for _, i := range d.Identifiers {
			if list := held[i.Value]; list != nil {
				v.held(i.Value, list)
				delete(held, i.Value)
			}
		}
	}
}

type heldIdentifier struct {
	account    string
	start, end int64
	at         *place
}

// held checks one identifier over all accounts.
func (v *revision) held(value string, list []heldIdentifier) {
	at := list[0].at
	if v.exists(KindAccount, value) && slices.ContainsFunc(list, func(h heldIdentifier) bool { return h.account != value }) {
		v.fail(at, "%q is the id of another account: use another identifier", value)
	}
	for _, h := range v.stored.Holders[value] {
		if v.accounts[h.Account] != nil {
			continue // as the document leaves it, it is in the list
		}
		end := h.End
		if v.deleted[Ref{KindAccount, h.Account}] != nil {
			end = min(end, v.now)
		}
		list = append(list, heldIdentifier{h.Account, h.Start, end, nil})
	}
	slices.SortStableFunc(list, func(a, b heldIdentifier) int {
		return cmp.Or(cmp.Compare(a.start, b.start), strings.Compare(a.account, b.account))
	})
	for i := 1; i < len(list); i++ {
		a, b := list[i-1], list[i]
		if a.end <= b.start {
			continue
		}
		at, other := b.at, a
		if at == nil || at.up == nil {
			at, other = a.at, b
		}
		v.fail(at, "%q is an identifier of the account %q from %s to %s: an identifier names one account at a time",
			value, other.account, instantText(other.start), instantText(other.end))
		return
	}
}

// history makes the account's identifiers of those it had and those the document gives it.
func (v *revision) history(d *accountDef) {
	zone := zoneOf(d)
	var before []*identifierDef
	if old := v.oldAccount(d.ID); old != nil {
		before = old.Identifiers
	}
	kept := make(map[*identifierDef]bool, len(before))
	var after []*identifierDef
	for _, i := range d.Identifiers {
		if i.Value == "" {
			v.failOnce(i.at.member("value"), "is missing: write the identifier")
			continue
		}
		i.Start.resolve(zone)
		i.End.resolve(zone)
		if i.Start.startAt() >= i.End.endAt() {
			v.fail(i.at.member("end"), "must be after start (%s)", i.Start)
			continue
		}
		if was := v.sameEntry(before, i); was != nil {
			kept[was] = true
			v.carryOn(was, i, zone)
		} else if i.plain && len(v.stored.Holders[i.Value]) > 0 {
			i.Start = instantBound(v.now) // someone had it: it changes hands now
		}
		after = append(after, i)
	}
	d.Identifiers = append(after, v.endIdentifiers(before, kept)...)
	slices.SortStableFunc(d.Identifiers, func(a, b *identifierDef) int {
		return cmp.Or(strings.Compare(a.Value, b.Value), cmp.Compare(a.Start.startAt(), b.Start.startAt()))
	})
}

// sameEntry finds the entry that the document speaks of: the one with the same start, or for plain
// text the one that has not ended.
func (v *revision) sameEntry(before []*identifierDef, i *identifierDef) *identifierDef {
	for _, was := range before {
		if was.Value != i.Value {
			continue
		}
		if i.plain && was.End.endAt() > v.now || !i.plain && was.Start == i.Start {
			return was
		}
	}
	return nil
}

// carryOn lets an entry keep its start and move its end as long as both ends lie ahead.
func (v *revision) carryOn(was, i *identifierDef, zone *time.Location) {
	i.Start = was.Start
	if was.End == i.End {
		return
	}
	if was.End.endAt() <= v.now || i.End.endAt() < v.now {
		v.fail(i.at.member("end"), "cannot change from %s to %s: usage before now was looked up with it; only an end in the future can move",
			was.End.in(zone), i.End.in(zone))
	}
}

// endIdentifiers ends now what is still valid and was not kept; what had not begun goes.
func (v *revision) endIdentifiers(before []*identifierDef, kept map[*identifierDef]bool) []*identifierDef {
	var after []*identifierDef
	for _, was := range before {
		if kept[was] || was.Start.startAt() >= v.now {
			continue
		}
		ended := *was
		if ended.End.endAt() > v.now {
			ended.End = instantBound(v.now)
		}
		after = append(after, &ended)
	}
	return after
}
