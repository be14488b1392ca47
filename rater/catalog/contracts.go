package catalog

import (
	"slices"
	"strings"
)

// contracts finishes the document's contracts and checks them against the others of their accounts.
func (v *revision) contracts() {
	others := v.storedContracts()
	byAccount := map[string][]*contractDef{}
	var accounts []string
	for _, d := range v.doc.contract {
		if !v.refer(&d.at, "account", KindAccount, d.Account) {
			continue
		}
		v.contract(d)
		if byAccount[d.Account] == nil {
			accounts = append(accounts, d.Account)
		}
		byAccount[d.Account] = append(byAccount[d.Account], d)
	}
	for _, account := range accounts {
		v.together(append(byAccount[account], others[account]...))
	}
}

// storedContracts are those that the document leaves alone, by account.
func (v *revision) storedContracts() map[string][]*contractDef {
	stored := map[string][]*contractDef{}
	if len(v.doc.contract) == 0 {
		return stored
	}
	for ref, row := range v.stored.Rows {
		if ref.Kind != KindContract || row.Deleted || v.defined[ref] != nil || v.deleted[ref] != nil {
			continue
		}
		d := new(contractDef)
		if err := unmarshal(row, d); err != nil {
			v.fail(nil, "%v", err)
			continue
		}
		stored[d.Account] = append(stored[d.Account], d)
	}
	for _, list := range stored {
		slices.SortFunc(list, func(a, b *contractDef) int { return strings.Compare(a.ID, b.ID) })
	}
	return stored
}

func (v *revision) contract(d *contractDef) {
	account := v.accountAfter(d.Account)
	if account == nil {
		if !v.granted {
			return // it could not be decoded, which is reported
		}
		account = &accountDef{}
	}
	zone, err := loadZone(account.TimeZone)
	if err != nil { // of an account that is stored
		v.fail(d.at.member("account"), "%v", err)
		return
	}
	if row, ok := v.stored.Rows[Ref{KindContract, d.ID}]; ok {
		var old contractDef
		if err := unmarshal(row, &old); err != nil {
			v.fail(nil, "%v", err)
		} else if old.Account != d.Account {
			v.fail(d.at.member("account"), "cannot change from %q to %q: write a contract with another id", old.Account, d.Account)
		}
	}
	d.Start.resolve(zone)
	d.End.resolve(zone)
	from, to := d.Start.startAt(), d.End.endAt()
	if from >= to {
		v.fail(d.at.member("end"), "must be after start (%s)", d.Start.in(zone))
		return
	}
	if d.RateClass != "" {
		v.refer(&d.at, "rate_class", KindRateClass, d.RateClass)
	}
	for _, r := range d.Rates {
		v.refer(&r.at, "product", KindProduct, r.Product)
		if r.Package != "" {
			v.refer(&r.at, "package", KindPackage, r.Package)
		}
	}
	v.finishRates(rateOwner{
		prefix: "contract:" + d.ID, currency: account.Currency, zone: zone, from: from, to: to,
		what: "the contract runs from " + d.Start.in(zone) + " to " + d.End.in(zone),
	}, d.Rates)
	v.chosen(Ref{KindContract, d.ID})
}

// together checks the contracts of one account: their rates are one level, their classes another.
func (v *revision) together(contracts []*contractDef) {
	var rates []listedRate
	for i, d := range contracts {
		listed := listRates(nil, d.Rates, "", d.Start.startAt(), d.End.endAt())
		if d.at.up == nil { // stored
			for j := range listed {
				listed[j].at, listed[j].owner = nil, "the contract "+d.ID
			}
		}
		rates = append(rates, listed...)
		for _, other := range contracts[:i] {
			if d.RateClass == "" || other.RateClass == "" || d.RateClass == other.RateClass {
				continue
			}
			if d.Start.startAt() < other.End.endAt() && other.Start.startAt() < d.End.endAt() {
				at, named := &d.at, other
				if d.at.up == nil {
					at, named = &other.at, d
				}
				v.fail(at.member("rate_class"), "the contract %s of the same account names the rate class %s at the same time: one of them must end before the other starts",
					named.ID, named.RateClass)
			}
		}
	}
	v.refuseOverlaps(rates)
}
