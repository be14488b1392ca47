package catalog

// shadows finds rates that never apply: others answer before them for all of their time, or nothing can ask for them.
func (l *linter) shadows() {
	for _, a := range l.d.accounts {
		l.packageRates(a)
		for _, c := range l.contracts[a.ID] {
			for _, r := range c.Rates {
				l.contractRate(a, c, r)
			}
		}
	}
	for _, c := range l.d.classes {
		if len(l.naming[c.ID]) > 0 {
			for _, r := range c.Rates {
				l.classRate(c, r)
			}
		}
	}
}

// own are the periods in which the account has a price of its own for the product, the first level of all.
func own(a *accountDef, product, currency string) []stretch {
	var out []stretch
	for _, p := range a.Products {
		if p.Product != product {
			continue
		}
		for _, r := range p.Rates {
			if r.Currency == currency {
				out = append(out, r.stretch().clip(p.stretch()))
			}
		}
	}
	return out
}

const shadowAdvice = "delete it, or end the rate that answers before it"

// packageRates looks at the rates that an account has inside its packages.
func (l *linter) packageRates(a *accountDef) {
	for _, p := range a.Packages {
		k := l.packages[p.Package]
		for _, r := range p.Rates {
			switch {
			case r.Currency != a.Currency:
				l.otherCurrency(r, a)
			case k != nil && !k.holds(r.Product):
				l.warn("rate-outside-package", &r.at, "add the product to the package, or write the rate under products of the account",
					"the package %s does not hold %s: this rate prices only events that name the package", p.Package, r.Product)
			case r.stretch().clip(p.stretch()).covered(own(a, r.Product, r.Currency)):
				l.warn("rate-shadowed", &r.at, shadowAdvice, "never applies: the account's own price for %s comes first for all of its time", r.Product)
			}
		}
	}
	for _, p := range a.Products {
		for _, r := range p.Rates {
			if r.Currency != a.Currency {
				l.otherCurrency(r, a)
			}
		}
	}
}

func (d *packageDef) holds(product string) bool {
	for _, p := range d.Products {
		if p.Product == product {
			return true
		}
	}
	return false
}

func (l *linter) otherCurrency(r *rateDef, a *accountDef) {
	if l.partial || len(l.d.exchange) > 0 {
		return // it is converted
	}
	l.warn("rate-currency", r.at.member("currency"), "write the price in "+a.Currency, "never applies: it is in %s, and the account %s is in %s", r.Currency, a.ID, a.Currency)
}

func (l *linter) contractRate(a *accountDef, c *contractDef, r *rateDef) {
	switch k := l.packages[r.Package]; {
	case r.Currency != a.Currency:
		l.otherCurrency(r, a)
	case r.stretch().clip(c.stretch()).covered(own(a, r.Product, r.Currency)):
		l.warn("rate-shadowed", &r.at, shadowAdvice, "never applies: the account's own price for %s comes first for all of its time", r.Product)
	case r.Package != "" && k != nil && !k.holds(r.Product):
		l.warn("rate-outside-package", r.at.member("package"), "add the product to the package, or leave package out",
			"the package %s does not hold %s: this rate prices only events that name the package", r.Package, r.Product)
	case r.Package != "" && !l.partial && !l.hasPackage(a, r.Package):
		l.note("package-not-had", r.at.member("package"), "provision the package on the account, or leave package out",
			"neither %s nor its parents have the package %s: this rate prices only events that name it", a.ID, r.Package)
	}
}

func (l *linter) hasPackage(a *accountDef, pkg string) bool {
	for range maxTreeDepth {
		if a == nil {
			return false
		}
		for _, p := range a.Packages {
			if p.Package == pkg {
				return true
			}
		}
		a = l.accounts[a.Parent]
	}
	return false
}

// classRate looks whether a rate of a class is reached by any of the contracts that name the class.
func (l *linter) classRate(class *rateClassDef, r *rateDef) {
	late, shadowed, currency := true, true, true
	var other *accountDef
	for _, c := range l.naming[class.ID] {
		a := l.accounts[c.Account]
		if a == nil {
			return // of an account that is not in the document
		}
		if a.Currency != r.Currency {
			other = a
			continue
		}
		currency = false
		time := r.stretch().clip(c.stretch())
		if time.empty() {
			continue
		}
		late = false
		before := own(a, r.Product, r.Currency)
		for _, another := range l.contracts[a.ID] {
			for _, x := range another.Rates {
				if x.Product == r.Product && x.Package == "" && x.Currency == r.Currency {
					before = append(before, x.stretch().clip(another.stretch()))
				}
			}
		}
		if !time.covered(before) {
			shadowed = false
		}
	}
	switch {
	case currency && (l.partial || len(l.d.exchange) > 0):
	case currency:
		l.warn("rate-currency", r.at.member("currency"), "write the price in "+other.Currency,
			"never applies: it is in %s, and no account whose contract names the class is (%s is in %s)", r.Currency, other.ID, other.Currency)
	case late:
		l.warn("rate-shadowed", &r.at, "correct its start and end, or delete it", "never applies: none of the contracts that name the class is in effect in its time")
	case shadowed:
		l.warn("rate-shadowed", &r.at, shadowAdvice, "never applies: every contract that names the class has a price for %s that comes first", r.Product)
	}
}

// unprovisioned finds prices for products that the account has not.
func (l *linter) unprovisioned() {
	for _, a := range l.d.accounts {
		has := l.productsOf(a)
		for _, c := range l.contracts[a.ID] {
			for _, r := range c.Rates {
				if has[r.Product] {
					continue
				}
				if l.products[r.Product].ProvisionedOnly {
					l.warn("rate-unprovisioned", r.at.member("product"), "provision "+r.Product+" on the account, or delete the rate",
						"never applies: %s is for accounts that have it (provisioned_only), and %s has not", r.Product, a.ID)
				} else {
					l.note("rate-unprovisioned", r.at.member("product"), "provision it on the account if it shall be listed among its products",
						"the account %s has not provisioned %s; its usage is priced all the same", a.ID, r.Product)
				}
			}
		}
	}
}

// productsOf are the products that an account has by itself, in packages, or from its parents.
func (l *linter) productsOf(a *accountDef) map[string]bool {
	has := map[string]bool{}
	for range maxTreeDepth {
		if a == nil {
			break
		}
		for _, p := range a.Products {
			has[p.Product] = true
		}
		for _, p := range a.Packages {
			if k := l.packages[p.Package]; k != nil {
				for _, x := range k.Products {
					has[x.Product] = true
				}
			}
		}
		if a.InheritPricing != nil && !*a.InheritPricing {
			break
		}
		a = l.accounts[a.Parent]
	}
	return has
}
