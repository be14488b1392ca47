package catalog

import "slices"

// addsUpMoney says whether what is used under the rate, or a price of its matrix, is a sum of money.
func (d *rateDef) addsUpMoney() bool {
	if slices.Contains(moneyModels, Model(d.Model)) || d.Default != nil && d.Default.addsUpMoney() {
		return true
	}
	return slices.ContainsFunc(d.Prices, func(e *entryDef) bool { return e.addsUpMoney() })
}

// eachRateOf visits the rates of a definition.
func eachRateOf(def any, visit func(*rateDef)) {
	switch d := def.(type) {
	case *productDef:
		(&Document{products: []*productDef{d}}).eachRate(visit)
	case *rateClassDef:
		(&Document{classes: []*rateClassDef{d}}).eachRate(visit)
	case *packageDef:
		(&Document{packages: []*packageDef{d}}).eachRate(visit)
	case *accountDef:
		(&Document{accounts: []*accountDef{d}}).eachRate(visit)
	case *contractDef:
		(&Document{contract: []*contractDef{d}}).eachRate(visit)
	}
}

// currencies refuses that a rate which adds up money goes on under its id in another currency: what was added up is in the old one.
func (v *revision) currencies() {
	keep := func(ref Ref, before, after any) {
		row, ok := v.stored.Rows[ref]
		if !ok || row.Deleted {
			return
		}
		now := map[string]*rateDef{}
		eachRateOf(after, func(d *rateDef) {
			if d.addsUpMoney() {
				now[d.ID] = d
			}
		})
		if len(now) == 0 || unmarshal(row, before) != nil { // what is damaged is said where it is read
			return
		}
		eachRateOf(before, func(was *rateDef) {
			if d := now[was.ID]; d != nil && was.addsUpMoney() && was.Currency != d.Currency {
				v.fail(d.at.member("currency"), "cannot change from %s to %s: the rate %q adds up money, which stays in its currency; write currency: %s, or give the new rate an id of its own",
					was.Currency, d.Currency, d.ID, was.Currency)
			}
		})
	}
	for _, d := range v.doc.products {
		keep(Ref{KindProduct, d.ID}, new(productDef), d)
	}
	for _, d := range v.doc.classes {
		keep(Ref{KindRateClass, d.ID}, new(rateClassDef), d)
	}
	for _, d := range v.doc.packages {
		keep(Ref{KindPackage, d.ID}, new(packageDef), d)
	}
	for _, d := range v.doc.accounts {
		keep(Ref{KindAccount, d.ID}, new(accountDef), d)
	}
	for _, d := range v.doc.contract {
		keep(Ref{KindContract, d.ID}, new(contractDef), d)
	}
}
