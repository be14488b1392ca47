package catalog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// changes compares each definition with its stored row.
func (v *revision) changes() ([]Change, error) {
	var changes []Change
	add := func(kind Kind, id, parent string, def any, account *AccountIndex) error {
		body, err := json.Marshal(def)
		if err != nil {
			return fmt.Errorf("encode %s %s: %w", kind, id, err)
		}
		c := Change{Ref: Ref{kind, id}, Action: ActionCreated, Body: body, Parent: parent, Uses: usesOf(def), Account: account}
		row, ok := v.stored.Rows[c.Ref]
		c.New = !ok
		if ok && !row.Deleted {
			if bytes.Equal(row.Body, body) {
				return nil
			}
			c.Action, c.Fields, c.Note = ActionChanged, differing(row.Body, body), v.notes[id]
			if kind != KindAccount {
				c.Note = ""
			}
		}
		changes = append(changes, c)
		return nil
	}
	if v.doc.settings != nil {
		if err := add(KindSettings, settingsID, "", &v.settings, nil); err != nil {
			return nil, err
		}
	}
	for _, p := range v.doc.products {
		if err := add(KindProduct, p.ID, "", p, nil); err != nil {
			return nil, err
		}
	}
	for _, c := range v.doc.classes {
		if err := add(KindRateClass, c.ID, "", c, nil); err != nil {
			return nil, err
		}
	}
	for _, k := range v.doc.packages {
		if err := add(KindPackage, k.ID, "", k, nil); err != nil {
			return nil, err
		}
	}
	for _, a := range v.doc.accounts {
		if err := add(KindAccount, a.ID, a.Parent, a, a.index()); err != nil {
			return nil, err
		}
	}
	for _, c := range v.doc.contract {
		if err := add(KindContract, c.ID, c.Account, c, nil); err != nil {
			return nil, err
		}
	}
	for _, x := range v.doc.exchange {
		if err := add(KindExchangeRates, x.id(), "", x, nil); err != nil {
			return nil, err
		}
	}
	deletes, err := v.deleteChanges()
	return append(changes, deletes...), err
}

// differing lists the members in which two bodies differ, in alphabetical order.
func differing(before, after []byte) []string {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(before, &a) != nil || json.Unmarshal(after, &b) != nil {
		return nil
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if !bytes.Equal(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// usesOf lists what a definition names, each once.
func usesOf(def any) []Ref {
	var refs []Ref
	eachUse(def, func(ref Ref) { refs = append(refs, ref) })
	slices.SortFunc(refs, compareRefs)
	return slices.Compact(refs)
}

// eachUse tells what a definition names, some of it more than once.
func eachUse(def any, note func(Ref)) {
	use := func(kind Kind, id string) {
		if id != "" {
			note(Ref{kind, id})
		}
	}
	rates := func(list []*rateDef, product string) {
		for _, r := range list {
			if len(r.namesGroup()) > 0 {
				use(kindGroup, orElse(r.Product, product))
			}
			use(KindProduct, r.Product)
			use(KindPackage, r.Package)
			if !strings.Contains(r.ID, ":") { // derived ids have one
				use(kindRate, r.ID)
			}
			if Pool(r.Pool).OverAccounts() {
				use(kindPool, anyPool)
			}
		}
	}
	switch d := def.(type) {
	case *productDef:
		rates(d.Rates, "")
	case *rateClassDef:
		rates(d.Rates, "")
	case *packageDef:
		for _, p := range d.Products {
			use(KindProduct, p.Product)
			rates(p.Rates, p.Product)
		}
	case *accountDef:
		use(KindAccount, d.Parent)
		for _, list := range [][]*provisionDef{d.Products, d.Packages} {
			for _, p := range list {
				use(KindProduct, p.Product)
				use(KindPackage, p.Package)
				rates(p.Rates, p.Product)
			}
		}
	case *contractDef:
		use(KindAccount, d.Account)
		use(KindRateClass, d.RateClass)
		rates(d.Rates, "")
	}
}

func compareRefs(a, b Ref) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.ID, b.ID))
}

// deletions checks that nothing that stays uses what goes.
func (v *revision) deletions() {
	for _, x := range v.doc.deletes {
		ref := Ref{Kind(x.kind), x.id}
		if x.kind == "" || x.id == "" {
			continue // as index says
		}
		if _, ok := v.stored.Rows[ref]; !ok && v.defined[ref] == nil && !v.granted {
			v.fail(&x.at, "there is no %s %q to delete: correct the id, or leave it out", ref.Kind, ref.ID)
		}
		users := slices.SortedFunc(slices.Values(v.stored.Users[ref]), compareRefs)
		for _, user := range users {
			if v.deleted[user] == nil && v.defined[user] == nil { // what the document defines was checked by refer
				v.fail(&x.at, "%s %q is still used by %s %q: change or delete that first", ref.Kind, ref.ID, user.Kind, user.ID)
				break
			}
		}
	}
}

func (v *revision) deleteChanges() ([]Change, error) {
	var changes []Change
	seen := map[Ref]bool{}
	for _, x := range v.doc.deletes {
		ref := Ref{Kind(x.kind), x.id}
		row := v.stored.Rows[ref]
		if row.Deleted || seen[ref] {
			continue
		}
		seen[ref] = true
		c := Change{Ref: ref, Action: ActionDeleted, Deleted: true, Body: row.Body}
		switch ref.Kind {
		case KindAccount:
			a := v.oldAccount(ref.ID)
			a.Identifiers = v.endIdentifiers(a.Identifiers, nil)
			body, err := json.Marshal(a)
			if err != nil {
				return nil, fmt.Errorf("encode account %s: %w", a.ID, err)
			}
			c.Body, c.Parent, c.Account = body, a.Parent, a.index()
		case KindContract:
			var d contractDef
			if err := unmarshal(row, &d); err != nil {
				return nil, err
			}
			c.Parent = d.Account
		}
		changes = append(changes, c)
	}
	return changes, nil
}
