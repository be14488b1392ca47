package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tollstream/tollstream/ledger/money"
)

// Pool says whose usage of a period has the tiers of a rate together, with what is included and the maximum. Its zero value is line:
// each line has tiers of its own.
type Pool string

// The pools. All are of one period and of one billed account, and but for the model capacity of one product.
const (
	PoolAccount Pool = "account" // what one account used, in whatever package or group
	PoolPackage Pool = "package" // what all accounts used inside one package; usage outside of packages shares nothing
	PoolInvoice Pool = "invoice" // what all accounts used that are billed together

	poolLine = "line"
)

// OverAccounts says whether usage of several accounts meets in the pool. They must be rated on one partition.
func (p Pool) OverAccounts() bool { return p == PoolPackage || p == PoolInvoice }

// pooledModels have tiers that can be shared, or a free part.
var pooledModels = []Model{
	ModelGraduated, ModelVolume, ModelPackage, ModelBlockGraduated, ModelBlockVolume, ModelGraduatedPercentage, ModelCapacity,
}

// Poolable says whether usage under the rate can be priced in a pool: its total does not depend on the order of the log.
func (r *Rate) Poolable() bool {
	switch r.Aggregation {
	case AggregationSum, AggregationCount, AggregationMax, "":
	default:
		return false
	}
	return (slices.Contains(pooledModels, r.Model) || r.Model == ModelPerUnit || r.Model == ModelMatrix) && !r.WholeEvents && !r.ProrateByDay
}

// checkPool checks that there is something to share, and that sharing it does not depend on who comes first.
func (r *reader) checkPool(d *rateDef) {
	pool := d.at.member("pool")
	if Model(d.Model) == ModelCapacity {
		if d.Pool != string(PoolAccount) {
			r.failOnce(pool, "must be account with the model capacity, which counts what an account uses of all its products")
		}
		if !d.Minimum.IsZero() {
			r.failOnce(d.at.member("minimum"), "is trued up line by line, and a capacity is of the lines of several products: leave it out, and give the first tier the price that is due at least")
		}
		return
	}
	if d.Pool == "" {
		return
	}
	d.eachPrice(func(p *rateDef) {
		if why := whyNotPooled(p, p != d); why != "" {
			r.failOnce(pool, "%s", why)
		}
	})
	switch Aggregation(d.Aggregation) {
	case "", AggregationCount, AggregationMax:
	default:
		r.failOnce(d.at.member("aggregation"), "cannot be %s where tiers are shared, because lines are added up: use sum, count or max, or leave pool out",
			d.Aggregation)
	}
	if !d.Minimum.IsZero() {
		r.failOnce(d.at.member("minimum"), "is trued up line by line, and the tiers are shared: leave out one of them")
	}
}

// whyNotPooled says why a rate, or a price inside a matrix, cannot be shared.
func whyNotPooled(d *rateDef, inside bool) string {
	switch m := Model(d.Model); {
	case m == ModelFlat:
		return "shares tiers, and a flat amount has none: leave it out"
	case m == ModelPerUnit && !inside && d.Included.IsZero() && d.Maximum.IsZero():
		return "shares tiers, what is included and a maximum, and this rate has none of them: leave it out"
	case m == ModelPercentage:
		return "cannot be shared where each event is charged by itself: use graduated_percentage, or leave it out"
	case m == ModelDynamic:
		return "shares tiers, and dynamic has none: leave it out"
	case m == ModelFormula && looksAtLine(d):
		return "cannot be shared with a formula that names group or days, which are of one line: leave out the name, or pool"
	case d.Split != nil:
		return "cannot be shared where split is false, because then its total would depend on who comes first: leave one of them out"
	case d.Prorate != "":
		return "cannot be shared by units that count by day: leave out pool or prorate"
	}
	return ""
}

// checkCapacity checks what the tiers of a capacity hold.
func (r *reader) checkCapacity(d *rateDef) {
	if d.ID == "" {
		r.failOnce(d.at.member("id"), "is missing: a capacity has the same id on each of its products, which is how they are known to belong together")
	}
	if d.Aggregation != "" {
		r.failOnce(d.at.member("aggregation"), "cannot be %s with the model capacity, which adds up what is used: leave it out", d.Aggregation)
	}
	for i := range d.Tiers[:max(0, len(d.Tiers)-1)] {
		if t := &d.Tiers[i]; len(t.Limits) == 0 {
			r.failOnce(t.at.member("limits"), "is missing: without limits a tier holds everything, so that no later one is reached")
		}
	}
}

// limits reads the most that a tier of a capacity holds of each product.
func (r *reader) limits(t *tierDef) read {
	return func(n *node, at *place) {
		t.limitsAt = *at
		if n.form != nodeObject {
			r.fail(at, "must be an object such as {seats: 10, gigabytes: 50}, not %s", n.describe())
		}
		t.Limits = make(map[string]money.Decimal, len(n.keys))
		for i, key := range n.keys {
			member := &place{up: at, name: key.text, line: key.line}
			if err := checkID(KindProduct, key.text); err != nil {
				r.fail(member, "%v", err)
				continue
			}
			if _, twice := t.Limits[key.text]; twice {
				r.fail(member, "is written twice")
				continue
			}
			var most money.Decimal
			r.decimal(&most)(n.items[i], member)
			if most.Sign() < 0 {
				r.fail(member, "must not be below 0, not %s", most)
			}
			t.Limits[key.text] = most
		}
	}
}

// capacityOf compiles the tiers of a capacity, limits in the order of the products.
func capacityOf(tiers []tierDef) []CapacityTier {
	capacity := make([]CapacityTier, len(tiers))
	for i := range tiers {
		capacity[i].Price = orZero(tiers[i].Price)
		for product, most := range tiers[i].Limits {
			capacity[i].Limits = append(capacity[i].Limits, Limit{product, most})
		}
		slices.SortFunc(capacity[i].Limits, func(a, b Limit) int { return strings.Compare(a.Product, b.Product) })
	}
	return capacity
}

// limitedProducts refuses limits of products that there are not.
func (v *revision) limitedProducts(rates []*rateDef) {
	for _, d := range rates {
		for i := range d.Tiers {
			t := &d.Tiers[i]
			for product := range t.Limits {
				v.refer(&t.limitsAt, product, KindProduct, product)
			}
		}
	}
}

// oneCapacity says whether a and b are one capacity on two products, which have to say the same.
func oneCapacity(a, b chosenID) bool {
	if Model(a.rate.Model) != ModelCapacity || a.product == b.product {
		return false
	}
	x, y := *a.rate, *b.rate
	x.Product, x.Package, y.Product, y.Package = "", "", "", ""
	this, err := json.Marshal(&x)
	other, _ := json.Marshal(&y)
	return err == nil && bytes.Equal(this, other)
}

// storedCapacity finds the capacity of the id on another definition of the catalogue.
func (v *revision) storedCapacity(owner Ref, id string) (found []chosenID) {
	row := v.stored.Rows[owner]
	add := func(rates []*rateDef, product string) {
		for _, d := range rates {
			if d.ID == id {
				found = append(found, chosenID{at: &d.at, id: id, rate: d, product: orElse(d.Product, product)})
			}
		}
	}
	switch owner.Kind {
	case KindProduct:
		var d productDef
		if unmarshal(row, &d) == nil {
			add(d.Rates, d.ID)
		}
	case KindPackage:
		var d packageDef
		if unmarshal(row, &d) == nil {
			for _, p := range d.Products {
				add(p.Rates, p.Product)
			}
		}
	case KindRateClass:
		var d rateClassDef
		if unmarshal(row, &d) == nil {
			add(d.Rates, "")
		}
	}
	return found
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// kindPool is what a definition uses, in the words of [Change.Uses], that shares tiers between accounts.
const kindPool Kind = "pool"

// anyPool stands in the place of an id.
const anyPool = "accounts"

// Pooled is a definition that shares tiers between accounts: whose they are, and that account's parents up to the root; of what all
// accounts may reach there are none.
type Pooled struct {
	Ref
	Path []string // the account first
}

// Crossing is an account that its parent pays or will pay, though their usage is routed apart.
type Crossing struct {
	Account, Key      string
	Parent, ParentKey string
	Path              []string // the account, its parent and so on up to the root
}

// sharesAccounts gives the first of the rates whose tiers accounts share, nil: none.
func sharesAccounts(rates []*rateDef) *rateDef {
	for _, d := range rates {
		if Pool(d.Pool).OverAccounts() {
			return d
		}
	}
	return nil
}

// definedPool is a pool of the document.
type definedPool struct {
	Pooled
	at *place
}

// definedPools lists the definitions of the document that share tiers between accounts.
func (v *revision) definedPools() (pools []definedPool) {
	add := func(kind Kind, id, account string, rates []*rateDef) {
		if d := sharesAccounts(rates); d != nil {
			pools = append(pools, definedPool{Pooled{Ref{kind, id}, v.pathOf(account)}, d.at.member("pool")})
		}
	}
	for _, p := range v.doc.products {
		add(KindProduct, p.ID, "", p.Rates)
	}
	for _, c := range v.doc.classes {
		add(KindRateClass, c.ID, "", c.Rates)
	}
	for _, k := range v.doc.packages {
		for _, p := range k.Products {
			add(KindPackage, k.ID, "", p.Rates)
		}
	}
	for _, a := range v.doc.accounts {
		for _, list := range [][]*provisionDef{a.Products, a.Packages} {
			for _, p := range list {
				add(KindAccount, a.ID, a.ID, p.Rates)
			}
		}
	}
	for _, c := range v.doc.contract {
		add(KindContract, c.ID, c.Account, c.Rates)
	}
	return pools
}

// pathOf is the account with its parents up to the root.
func (v *revision) pathOf(account string) (path []string) {
	for account != "" && len(path) <= maxTreeDepth {
		path = append(path, account)
		d := v.accountAfter(account)
		if d == nil {
			break
		}
		account = d.Parent
	}
	return path
}

// reaches says whether usage of the crossing account may meet that of others in the pool.
func (p *Pooled) reaches(x *Crossing) bool {
	return len(p.Path) == 0 || slices.Contains(x.Path, p.Path[0]) || slices.Contains(p.Path, x.Account)
}

// crossings refuses pools of accounts whose usage is routed apart, and so rated by raters that know nothing of one another.
func (v *revision) crossings() {
	var moved []Crossing
	for _, d := range v.doc.accounts {
		parent := v.accountAfter(d.Parent)
		if parent != nil && parent.RoutingKey != "" && d.RoutingKey != "" && parent.RoutingKey != d.RoutingKey && d.index().ParentPays {
			moved = append(moved, Crossing{d.ID, d.RoutingKey, d.Parent, parent.RoutingKey, v.pathOf(d.ID)})
		}
	}
	all := slices.Clone(moved)
	for _, x := range v.stored.Crossings {
		if v.accounts[x.Account] == nil && v.deleted[Ref{KindAccount, x.Account}] == nil {
			all = append(all, x)
		}
	}
	for _, p := range v.definedPools() {
		for i := range all {
			if p.reaches(&all[i]) {
				v.fail(p.at, "would share tiers between %s: use pool: account, or leave it out", all[i].words())
				break
			}
		}
	}
	for i := range moved {
		x := &moved[i]
		for _, p := range v.stored.Pools {
			if v.defined[p.Ref] == nil && v.deleted[p.Ref] == nil && p.reaches(x) {
				v.fail(v.accounts[x.Account].at.member("bill_to"), "%s %q would share tiers between %s: let it pay for itself, or take pool off those rates",
					p.Kind, p.ID, x.words())
				break
			}
		}
	}
}

func (x *Crossing) words() string {
	return fmt.Sprintf("the accounts %q (routing key %q) and %q (routing key %q), whose usage is rated apart because the one did not pay for the other when it was created",
		x.Parent, x.ParentKey, x.Account, x.Key)
}
