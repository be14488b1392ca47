package rater

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tollstream/tollstream/collector/usage"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/dedup"
)

// ErrDefinitions says that the log's chain of definitions does not continue the one this partition has
// activated: a range is missing, or another history of definitions was published.
var ErrDefinitions = errors.New("definitions do not continue the activated ones")

// definitions caches what resolution needs: the plans as of the activated sequence number and, for late usage
// and for rates that are gone, a bounded number as of older ones.
type definitions struct {
	accounts map[string]*catalog.Account // as of the activated seq; nil: there is none
	plans    plans
	within   map[string]map[string]struct{} // account → accounts whose plans contain it

	snapshots map[int64]*catalog.Snapshot // older ones
	old       map[oldPlan]*catalog.Plan   // nil: the account did not exist
}

type oldPlan struct {
	account string
	seq     int64
}

// maxOld bounds the caches of older definitions; a full one is emptied.
const maxOld = 4096

func newDefinitions() definitions {
	return definitions{
		accounts: map[string]*catalog.Account{}, plans: newPlans(), within: map[string]map[string]struct{}{},
		snapshots: map[int64]*catalog.Snapshot{}, old: map[oldPlan]*catalog.Plan{},
	}
}

// needs collects what a record needs and the machine lacks.
type needs struct {
	snapshots map[int64]struct{}
	accounts  map[int64]map[string]struct{} // by seq
	seals     map[string]struct{}
	markers   map[string]struct{}
	families  map[activity.ID]struct{}
	pools     map[activity.ID]struct{}
	sharing   map[activity.ID]struct{} // who shares these pools
	values    map[ValueKey]struct{}
	levels    *levelQuestion
	asks      []dedup.Question
	err       error // what no reading can mend
}

func (n *needs) fail(err error) { n.err = errors.Join(n.err, err) }

func (n *needs) empty() bool {
	return len(n.snapshots) == 0 && len(n.accounts) == 0 && len(n.seals) == 0 && len(n.markers) == 0 && len(n.families) == 0 && len(n.pools) == 0 && len(n.sharing) == 0 && len(n.values) == 0 && n.levels == nil && len(n.asks) == 0
}

func (n *needs) snapshot(seq int64) {
	if n.snapshots == nil {
		n.snapshots = map[int64]struct{}{}
	}
	n.snapshots[seq] = struct{}{}
}

func (n *needs) account(seq int64, id string) {
	if n.accounts == nil {
		n.accounts = map[int64]map[string]struct{}{}
	}
	if n.accounts[seq] == nil {
		n.accounts[seq] = map[string]struct{}{}
	}
	n.accounts[seq][strings.Clone(id)] = struct{}{}
}

func (n *needs) seal(account string) {
	if n.seals == nil {
		n.seals = map[string]struct{}{}
	}
	n.seals[strings.Clone(account)] = struct{}{}
}

func (n *needs) marker(account string) {
	if n.markers == nil {
		n.markers = map[string]struct{}{}
	}
	n.markers[strings.Clone(account)] = struct{}{}
}

func (n *needs) family(id activity.ID) {
	if n.families == nil {
		n.families = map[activity.ID]struct{}{}
	}
	n.families[id] = struct{}{}
}

func (n *needs) pool(id activity.ID) {
	if n.pools == nil {
		n.pools = map[activity.ID]struct{}{}
	}
	n.pools[id] = struct{}{}
}

func (n *needs) share(pool activity.ID) {
	if n.sharing == nil {
		n.sharing = map[activity.ID]struct{}{}
	}
	n.sharing[pool] = struct{}{}
}

// snapshotAt returns what all accounts share as of seq, nil when it has to be read first.
func (d *definitions) snapshotAt(m *machine, seq int64, need *needs) *catalog.Snapshot {
	if seq == m.act && m.snap != nil {
		return m.snap
	}
	snap := d.snapshots[seq]
	if snap == nil {
		need.snapshot(seq)
	}
	return snap
}

// planAt returns the account's plan as of seq: nil, true when there is no such account; false when it
// has to be read first.
func (d *definitions) planAt(m *machine, account string, seq int64, need *needs) (*catalog.Plan, bool) {
	if seq == m.act {
		return d.planNow(m, account, need)
	}
	if p, ok := d.old[oldPlan{account, seq}]; ok {
		return p, true
	}
	if _, ok := d.snapshots[seq]; !ok {
		need.snapshot(seq)
	}
	need.account(seq, account)
	return nil, false
}

// planNow returns the account's plan as of the activated definitions.
func (d *definitions) planNow(m *machine, account string, need *needs) (*catalog.Plan, bool) {
	if p := d.plans.of(account); p != nil {
		return p.plan, true
	}
	if m.snap == nil {
		need.snapshot(m.act)
	}
	chain, known := d.chain(account)
	if !known || m.snap == nil {
		need.account(m.act, account)
		return nil, false
	}
	if chain == nil {
		return nil, true
	}
	plan, err := catalog.NewPlan(m.snap, chain)
	if err != nil {
		need.fail(fmt.Errorf("compile account %s as of definition %d: %w", account, m.act, err))
		return nil, false
	}
	account = chain[0].ID // the same, and not a part of the record
	d.plans.keep(account, plan)
	for _, a := range chain {
		if d.within[a.ID] == nil {
			d.within[a.ID] = map[string]struct{}{}
		}
		d.within[a.ID][account] = struct{}{}
	}
	return plan, true
}

// chain orders an account and its parents up to the root from what is cached; nil when there is no such account, known
// false when one of them has to be read.
func (d *definitions) chain(id string) (chain []*catalog.Account, known bool) {
	for next := id; next != ""; {
		a, ok := d.accounts[next]
		if !ok {
			return nil, false
		}
		if a == nil {
			return nil, true
		}
		chain, next = append(chain, a), a.Parent
	}
	return chain, true
}

// provideAccounts takes what was read as of seq: the asked accounts with their parents.
func (d *definitions) provideAccounts(m *machine, seq int64, asked map[string]struct{}, got map[string]*catalog.Account) error {
	if seq == m.act {
		for id := range asked {
			d.accounts[id] = got[id]
		}
		for id, a := range got {
			d.accounts[id] = a
		}
		return nil
	}
	if len(d.old) > maxOld {
		clear(d.old)
	}
	for id := range asked {
		plan, err := catalog.PlanOf(d.snapshots[seq], got, id)
		if err != nil {
			return fmt.Errorf("compile account %s as of definition %d: %w", id, seq, err)
		}
		d.old[oldPlan{id, seq}] = plan
	}
	return nil
}

// drop forgets what the change of a definition makes stale.
func (d *definitions) drop(ref *usage.DefinitionRef) {
	account := ref.ID
	if ref.Kind == string(catalog.KindContract) {
		account = ref.Account
	}
	for plan := range d.within[account] {
		d.plans.drop(plan)
	}
	delete(d.within, account)
	delete(d.accounts, account)
}

// snapshotAfter says whether activating the record needs a newer snapshot of what all accounts share.
func (m *machine) snapshotAfter(r *usage.Definitions) bool {
	if r.To <= m.act {
		return false
	}
	if r.All || m.snap == nil {
		return true
	}
	for i := range r.Changed {
		k := catalog.Kind(r.Changed[i].Kind)
		if r.Changed[i].Seq > m.act && k != catalog.KindAccount && k != catalog.KindContract {
			return true
		}
	}
	return false
}

// activate makes a range of definitions active. A repeat is ignored, an overlapping range applies its tail; a gap
// or another history is an error.
func (m *machine) activate(r *usage.Definitions) error {
	if r.To <= m.act || m.faults.OverlapIsRepeat && r.From != m.act+1 {
		return nil
	}
	if r.From > m.act+1 {
		return fmt.Errorf("partition %d has activated definition %d, the log goes on with %d: %w", m.partition, m.act, r.From, ErrDefinitions)
	}
	previous := r.PreviousHash
	if r.From <= m.act {
		previous = r.Links[m.act-r.From]
	}
	if previous != m.sum {
		return fmt.Errorf("partition %d: definition %d has another history than the activated %d: %w", m.partition, r.To, m.act, ErrDefinitions)
	}
	if m.snapshotAfter(r) && !(m.faults.StaleSnapshot && m.snap != nil) {
		m.snap = m.defs.snapshots[r.To]
		m.defs.plans = newPlans()
		clear(m.defs.within)
	}
	if r.All {
		clear(m.defs.accounts)
	}
	for i := range r.Changed {
		if r.Changed[i].Seq > m.act && !m.faults.StalePlans {
			m.defs.drop(&r.Changed[i])
		}
	}
	m.act, m.sum = r.To, r.Links[len(r.Links)-1]
	if !m.faults.DefinitionsLeaveRecalled {
		m.changed()
	}
	return nil
}
