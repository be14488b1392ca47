package catalog

import (
	"strings"
	"time"
)

// products, rate classes and packages have no account near: their dates are in UTC.
func (v *revision) shared(prefix, product string) rateOwner {
	return rateOwner{prefix: prefix, currency: v.settings.Currency, zone: time.UTC, product: product, from: Always, to: Never}
}

func (v *revision) products() {
	if len(v.doc.products) == 0 {
		return
	}
	names := map[string]string{} // identifier → product
	for ref, row := range v.stored.Rows {
		if ref.Kind != KindProduct || row.Deleted || v.defined[ref] != nil || v.deleted[ref] != nil {
			continue
		}
		var d productDef
		if err := unmarshal(row, &d); err != nil {
			v.fail(nil, "%v", err)
			continue
		}
		names[d.ID] = d.ID
		for _, name := range d.Identifiers {
			names[name] = d.ID
		}
	}
	for _, d := range v.doc.products {
		names[d.ID] = d.ID
	}
	for _, d := range v.doc.products {
		for i, name := range d.Identifiers {
			at := &place{up: d.at.member("identifiers"), index: i, line: d.at.line}
			if other, taken := names[name]; taken {
				v.fail(at, "%q already names the product %q: an identifier names one product", name, other)
				continue
			}
			names[name] = d.ID
		}
		if len(d.Rates) == 0 {
			v.fail(d.at.member("rates"), "is missing: every product needs a default rate")
		}
		v.finishRates(v.shared("product:"+d.ID, d.ID), d.Rates)
		v.ungrouped(d)
		v.refuseOverlaps(listRates(nil, d.Rates, d.ID, Always, Never))
		v.chosen(Ref{KindProduct, d.ID})
	}
}

func (v *revision) classes() {
	for _, d := range v.doc.classes {
		for _, r := range d.Rates {
			v.refer(&r.at, "product", KindProduct, r.Product)
		}
		v.finishRates(v.shared("rate_class:"+d.ID, ""), d.Rates)
		v.refuseOverlaps(listRates(nil, d.Rates, "", Always, Never))
		v.chosen(Ref{KindRateClass, d.ID})
	}
}

func (v *revision) packages() {
	for _, d := range v.doc.packages {
		parents := map[string]string{}
		for _, p := range d.Products {
			if _, twice := parents[p.Product]; twice && p.Product != "" {
				v.fail(p.at.member("product"), "%q is in the package twice: leave one out", p.Product)
			}
			parents[p.Product] = p.Parent
		}
		for _, p := range d.Products {
			if v.refer(&p.at, "product", KindProduct, p.Product) && p.Parent != "" {
				v.nesting(p, parents)
			}
			o := v.shared("package:"+d.ID+"/"+p.Product, p.Product)
			v.finishRates(o, p.Rates)
			v.refuseOverlaps(listRates(nil, p.Rates, p.Product, Always, Never))
		}
		v.chosen(Ref{KindPackage, d.ID})
	}
}

func (v *revision) nesting(p *packageProductDef, parents map[string]string) {
	if _, ok := parents[p.Parent]; !ok {
		v.fail(p.at.member("parent"), "%q is not a product of this package: list it here, or correct the id", p.Parent)
		return
	}
	path := []string{p.Product}
	for up := p.Parent; up != ""; up = parents[up] {
		path = append(path, up)
		if up == p.Product {
			v.fail(p.at.member("parent"), "products are nested in a circle, %s: leave one parent out", strings.Join(path, " → "))
			return
		}
		if len(path) > len(parents) {
			return // a circle further up, which is reported there
		}
	}
}
