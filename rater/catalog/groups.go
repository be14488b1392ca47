package catalog

import (
	"maps"
	"slices"

	"github.com/tollstream/tollstream/rater/method"
)

// Formulas may name the attributes that their product is grouped by. One that it is not grouped by would be empty on every line, so it is refused:
// where the formula is written, and where the product is no longer grouped by it.

// kindGroup is what a definition uses, in the words of [Change.Uses], whose formulas name what another's product is grouped by; the id is the
// product's.
const kindGroup Kind = "group"

// namesGroup lists the attributes that the formulas of a rate name.
func (d *rateDef) namesGroup() (names []string) {
	d.eachPrice(func(p *rateDef) {
		if Model(p.Model) == ModelFormula {
			price, _ := ownPrice(p)
			names = append(names, method.NeedsOf(price).Group...)
		}
	})
	return names
}

// groups refuses formulas that name what the product is not grouped by.
func (v *revision) groups(d *rateDef, product string) {
	names := d.namesGroup()
	if len(names) == 0 {
		return
	}
	by, known := v.groupedBy(product)
	if !known {
		return
	}
	d.eachPrice(func(p *rateDef) {
		if Model(p.Model) != ModelFormula {
			return
		}
		for _, name := range p.namesGroup() {
			if !slices.Contains(by, name) {
				v.failOnce(p.at.member("expression"), "names group.%s, by which the product %q is not grouped: add %q to its group_by, or leave it out", name, product, name)
			}
		}
	})
}

// groupedBy gives what a product is grouped by once the document is applied.
func (v *revision) groupedBy(product string) (names []string, known bool) {
	for _, d := range v.doc.products {
		if d.ID == product {
			return d.GroupBy, true
		}
	}
	row, known := v.stored.Rows[Ref{KindProduct, product}]
	var d productDef
	if !known || row.Deleted || unmarshal(row, &d) != nil {
		return nil, false
	}
	return d.GroupBy, true
}

// ungrouped refuses that a product is no longer grouped by what formulas of other definitions name.
func (v *revision) ungrouped(d *productDef) {
	row, known := v.stored.Rows[Ref{KindProduct, d.ID}]
	var old productDef
	if !known || row.Deleted || unmarshal(row, &old) != nil {
		return
	}
	gone := slices.DeleteFunc(slices.Clone(old.GroupBy), func(name string) bool { return slices.Contains(d.GroupBy, name) })
	if len(gone) == 0 {
		return
	}
	named := map[Ref]bool{}
	for _, user := range v.stored.Users[Ref{kindGroup, d.ID}] {
		named[user] = v.names(user, d.ID, gone)
	}
	for _, user := range slices.SortedFunc(maps.Keys(named), compareRefs) {
		if named[user] && v.defined[user] == nil && v.deleted[user] == nil {
			v.failOnce(d.at.member("group_by"), "leaves out %q, and a formula of %s %q names what the product is grouped by: keep it, or change that formula in the same document", gone[0], user.Kind, user.ID)
		}
	}
}

// names says whether formulas of a stored definition name one of the attributes, of a product; what was not read may.
func (v *revision) names(user Ref, product string, gone []string) bool {
	row, known := v.stored.Rows[user]
	if !known {
		return true
	}
	found := false
	look := func(of string, rates []*rateDef) {
		for _, d := range rates {
			if orElse(d.Product, of) == product {
				found = found || slices.ContainsFunc(d.namesGroup(), func(name string) bool { return slices.Contains(gone, name) })
			}
		}
	}
	var class rateClassDef
	var bundle packageDef
	switch {
	case user.Kind == KindRateClass && unmarshal(row, &class) == nil:
		look("", class.Rates)
	case user.Kind == KindPackage && unmarshal(row, &bundle) == nil:
		for _, p := range bundle.Products {
			look(p.Product, p.Rates)
		}
	default:
		return true
	}
	return found
}
