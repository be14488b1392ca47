package rater

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
)

// What a line on a closed invoice comes to depends on all usage of its pools. So that of all accounts that share is added up in log order, as
// from the start, and each line is charged what it would have been. Every account is corrected by a marker of its own: that what is shared by
// others comes to behind it, it takes from the same order.

// sharedUsage is usage that has tiers together: of the product by all accounts, or of all products, which a capacity counts, by the account.
type sharedUsage struct {
	owed    string
	period  catalog.Period
	product string // empty: all
	closed  bool
}

// lineInPool is a line's part of a pool.
type lineInPool struct{ line, pool activity.ID }

// Bounds of what is added up for one account. All that share a pool are corrected, each by itself, so that their work has a bound as well.
const (
	mostSharing      = 1000        // accounts
	mostSharedLines  = 10_000      // of these
	mostSharedEvents = 2_000_000   // of these, for one of them
	mostSharedWork   = 100_000_000 // events, for all of them
)

// errShared says why shared usage is not added up.
type errShared string

func (e errShared) Error() string { return string(e) }

// sharedBy gives the usage with which the line's shares the pool.
func (h *home) sharedBy(pool activity.ID) sharedUsage {
	of := sharedUsage{h.Owed, h.UsagePeriod, h.Product, h.closed}
	if pool == h.poolOf("") {
		of.product = ""
	}
	return of
}

// holds says whether the line is one of the usage.
func (of *sharedUsage) holds(h *home) bool {
	return h.Owed == of.owed && h.UsagePeriod == of.period && (of.product == "" || h.Product == of.product)
}

// inPools gives what the pools that the line shares with others have charged to it.
func (h *home) inPools(q *SumQuestion) (parts map[lineInPool]money.Decimal, err error) {
	segments, err := DecodeSegments(h.Segments)
	for i := range segments {
		s := &segments[i]
		if h.sharesAlone(s.Pool, q) {
			continue
		}
		if parts == nil {
			parts = map[lineInPool]money.Decimal{}
		}
		at := lineInPool{h.Line, s.Pool}
		if parts[at], err = parts[at].Add(s.Charged); err != nil {
			return nil, err
		}
	}
	return parts, err
}

// sharing adds up what the account's lines share with others, and gives what each of the pools charges to them.
func (s folding) sharing(ctx context.Context, of *sharedUsage, homes map[activity.ID]*home) (map[lineInPool]money.Decimal, error) {
	all, accounts, err := s.sharers(ctx, of, homes)
	if err != nil {
		return nil, err
	}
	s.of = map[int64]*Fold{}
	s.usage = UsageQuestion{Partition: s.q.Partition, Accounts: accounts, Product: of.product, Below: s.q.Below}
	if of.period.Start != catalog.Always {
		s.usage.From = of.period.Start
	}
	if of.period.End != catalog.Never {
		s.usage.To = of.period.End
	}
	left, err := s.leftOut(ctx, all)
	if err != nil {
		return nil, fmt.Errorf("corrections: %w", err)
	}
	charged := map[lineInPool]money.Decimal{}
	events, most := 0, min(mostSharedEvents, mostSharedWork/len(accounts))
	err = s.Usage.Each(ctx, s.usage, func(offset int64, a *activity.Activity) error {
		h := all[a.Line]
		if a.Kind != activity.KindUsage || h == nil || !of.holds(h) {
			return nil
		}
		e := EventOf(a)
		if out, err := left.takes(ctx, s, h, place{offset, a.Index}, a, &e); err != nil || out {
			return err
		}
		fold, err := s.under(ctx, h.seq)
		if err != nil {
			return err
		}
		if events++; events > most {
			return errShared(fmt.Sprintf("its tiers are shared by more than %d events, of %d accounts", most, len(accounts)))
		}
		folded, reason := fold.Add(&e, h.invoiced(a))
		switch {
		case reason != "":
			return errShared(fmt.Sprintf("its tiers are shared with event %s of %s of account %s: %s", a.EventID, a.Source, a.Account, reason))
		case s.values() > cmp.Or(s.MostValues, mostValues):
			return errShared(leftMany)
		case a.Account == s.q.Account && !folded.Pool.IsZero():
			at := lineInPool{folded.Line, folded.Pool}
			charged[at], err = charged[at].Add(folded.Charge)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("what others share: %w", err)
	}
	return charged, nil
}

// sharers reads the lines of all accounts that use what is shared.
func (s folding) sharers(ctx context.Context, of *sharedUsage, homes map[activity.ID]*home) (map[activity.ID]*home, []string, error) {
	if of.product == "" {
		return homes, []string{s.q.Account}, nil
	}
	lines, err := s.Lines.LinesSharing(ctx, s.q.Partition, of.owed, of.product, of.period.Start, mostSharedLines+1)
	if err != nil {
		return nil, nil, err
	}
	seq := s.q.Under
	for _, h := range homes {
		if of.holds(h) {
			seq = h.seq
		}
	}
	all, accounts := map[activity.ID]*home{}, []string{s.q.Account}
	for _, l := range lines {
		if l.RateLevel != LevelCorrection {
			all[l.Line], accounts = &home{LineState: l, seq: seq}, append(accounts, l.Account)
		}
	}
	slices.Sort(accounts)
	accounts = slices.Compact(accounts)
	if len(accounts) > mostSharing || len(lines) > mostSharedLines {
		return nil, nil, errShared(fmt.Sprintf("its tiers are shared by more than %d accounts, or %d lines of them", mostSharing, mostSharedLines))
	}
	return all, accounts, nil
}

// together adds up all that is shared, and says of products on closed invoices why it cannot be.
func (s folding) together(ctx context.Context, all []sharedUsage, homes map[activity.ID]*home, out *Sum) error {
	out.charged = map[lineInPool]money.Decimal{}
	for i := range all {
		charged, err := s.sharing(ctx, &all[i], homes)
		if why := errShared(""); errors.As(err, &why) {
			for _, h := range homes {
				if all[i].closed && all[i].holds(h) {
					out.Closed[h.Product] = string(why)
				}
			}
			continue
		}
		if err != nil {
			return err
		}
		maps.Copy(out.charged, charged)
	}
	return nil
}

// withShares is what the line comes to with what its pools charge to it when others share them; false: that is not known.
func (out *Sum) withShares(q *SumQuestion, l *LineState) (amount money.Decimal, known bool, err error) {
	h := home{LineState: *l}
	parts, err := h.inPools(q)
	if err != nil {
		return amount, false, err
	}
	amount = l.Amount
	for at, alone := range parts {
		charged, known := out.charged[at]
		if !known {
			return l.Amount, false, nil
		}
		if amount, err = amount.Add(difference(charged, alone)); err != nil {
			return amount, false, err
		}
	}
	return amount, true, nil
}
