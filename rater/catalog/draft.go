package catalog

import (
	"slices"
)

// Draft is what a document changes, laid over definitions in memory: they are read as if it were applied, and nothing is
// written. It is immutable.
type Draft struct {
	seq       int64
	changes   int
	shared    []Row
	accounts  map[string]Row
	contracts map[string][]Row    // by account
	revised   map[string]bool     // contracts that the document defines or deletes, wherever they were
	holders   map[string][]Holder // by identifier
}

// NewDraft takes the changes that [Document.Revise] gave, to be laid over the definitions at the sequence number; the draft has
// the next one.
func NewDraft(changes []Change, over int64) *Draft {
	d := &Draft{
		seq: over + 1, changes: len(changes), accounts: map[string]Row{}, contracts: map[string][]Row{}, revised: map[string]bool{}, holders: map[string][]Holder{},
	}
	for _, c := range changes {
		row := Row{Ref: c.Ref, Seq: d.seq, Deleted: c.Deleted, Body: c.Body}
		switch c.Kind {
		case KindAccount:
			d.accounts[c.ID] = row
			if c.Deleted {
				continue
			}
			for _, i := range c.Account.Identifiers {
				d.holders[i.Value] = append(d.holders[i.Value], Holder{c.ID, i.Start, i.End})
			}
		case KindContract:
			d.contracts[c.Parent], d.revised[c.ID] = append(d.contracts[c.Parent], row), true
		default:
			d.shared = append(d.shared, row)
		}
	}
	return d
}

// Seq is the sequence number that the draft's definitions carry: the one after those that it lies over.
func (d *Draft) Seq() int64 { return d.seq }

// Changes is how many definitions the draft creates, changes or deletes.
func (d *Draft) Changes() int { return d.changes }

// Snapshot lays the draft over what all accounts share.
func (d *Draft) Snapshot(base *Snapshot) (*Snapshot, error) { return base.With(d.shared, d.seq) }

// Account lays the draft over an account, nil where there is none; it gives nil where there is none with the draft.
func (d *Draft) Account(id string, base *Account) (*Account, error) {
	row, defined := d.accounts[id]
	if row.Deleted || !defined && base == nil {
		return nil, nil
	}
	a := new(Account)
	if defined {
		var err error
		if a, err = DecodeAccount(row, nil); err != nil {
			return nil, err
		}
	} else {
		*a = *base
	}
	a.Contracts = nil
	if base != nil {
		for _, c := range base.Contracts {
			if !d.revised[c.ID] {
				a.Contracts = append(a.Contracts, c)
			}
		}
	}
	if err := a.contract(d.contracts[id]); err != nil {
		return nil, err
	}
	return a, nil
}

// Find gives the account that has the id or, at the instant, the identifier; base is who has it without the draft, "": nobody.
func (d *Draft) Find(name string, at int64, base string) string {
	if row, ok := d.accounts[name]; ok {
		if row.Deleted {
			return ""
		}
		return name
	}
	for _, h := range d.holders[name] {
		if h.Start <= at && at < h.End {
			return h.Account
		}
	}
	if _, ok := d.accounts[base]; ok {
		return "" // it gave the identifier up, or is deleted
	}
	return base
}

// Accounts lists the accounts that the draft defines, in order.
func (d *Draft) Accounts() []string {
	ids := make([]string, 0, len(d.accounts))
	for id, row := range d.accounts {
		if !row.Deleted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
