package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tollstream/tollstream/cmd/tollstream/e2e/drive"
	"github.com/tollstream/tollstream/cmd/tollstream/e2e/oracle"
)

// settle waits until everything that was acknowledged is on the live invoices, then until it is in PostgreSQL and in the report store as
// well, and notes how long that took since the heal. Then it reconciles. Servers that die meanwhile are started again.
func (s *site) settle(ctx context.Context, healed time.Time, done *round) error {
	if err := repeat(ctx, s.patience, "the log tells what becomes of edges", func() error { return s.decideEdges(ctx) }); err != nil {
		return err
	}
	bills := s.load.book.bills.Bills()
	left := maps.Clone(bills) // whose live invoice is not right yet
	if err := s.until(ctx, "all that was acknowledged is live", func() error { return s.live(left) }); err != nil {
		return err
	}
	done.Live = time.Since(healed).Seconds()
	for _, ask := range []func() error{
		func() error { return s.lines(ctx, bills) },
		func() error { return s.rejected(ctx) },
		func() error { return s.reported(bills) },
	} {
		if err := s.until(ctx, "all that was acknowledged is kept", ask); err != nil {
			return err
		}
	}
	done.Recovered = time.Since(healed).Seconds()
	return s.until(ctx, "all agrees", func() error { return s.reconcile(ctx) })
}

// until repeats a question, and now and then sees to the servers.
func (s *site) until(ctx context.Context, what string, ask func() error) error {
	looked := time.Now()
	return repeat(ctx, s.patience, what, func() error {
		err := ask()
		if err == nil || time.Since(looked) < 2*time.Second {
			return err
		}
		looked = time.Now()
		return errors.Join(err, s.revive())
	})
}

// live compares live invoices; those that are right leave the list.
func (s *site) live(left map[string]*oracle.Expectation) error {
	for account, want := range left {
		got, err := s.api.InvoiceAt(account, s.load.traffic.Begin)
		if err == nil {
			err = want.Differs(got)
		}
		if err != nil {
			return fmt.Errorf("live invoice of %s: %w", account, err)
		}
		delete(left, account)
	}
	return nil
}

// query asks PostgreSQL itself, past the wires.
func (s *site) query(ctx context.Context, sql string, each func(pgx.Rows) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.addrs["TOLLSTREAM_TEST_POSTGRES"])
	if err != nil {
		return fmt.Errorf("reach PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return fmt.Errorf("ask PostgreSQL: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// lines compares the checkpoints' lines.
func (s *site) lines(ctx context.Context, bills map[string]*oracle.Expectation) error {
	got, events := map[string]*big.Rat{}, 0
	err := s.query(ctx, "SELECT billed, sum(amount)::text, sum(events)::bigint FROM line_now GROUP BY billed", func(rows pgx.Rows) error {
		var billed, amount string
		var n int
		if err := rows.Scan(&billed, &amount, &n); err != nil {
			return err
		}
		events += n
		sum, err := oracle.Decimal(amount)
		got[billed] = sum
		return err
	})
	if err != nil {
		return err
	}
	if events != s.load.book.events {
		return fmt.Errorf("lines in PostgreSQL hold %d events, want %d", events, s.load.book.events)
	}
	if err := drive.SameTotals(got, bills); err != nil {
		return fmt.Errorf("lines in PostgreSQL: %w", err)
	}
	return nil
}

// rejected compares the rejected usage. Sent twice, it is rejected twice: every id counts once.
func (s *site) rejected(ctx context.Context) error {
	got := map[string]string{}
	err := s.query(ctx, "SELECT DISTINCT event_id, reason FROM rejected_usage", func(rows pgx.Rows) error {
		var id, reason string
		if err := rows.Scan(&id, &reason); err != nil {
			return err
		}
		if got[id] != "" {
			return fmt.Errorf("%s is rejected as %s and as %s", id, got[id], reason)
		}
		got[id] = reason
		return nil
	})
	if err == nil && !maps.Equal(got, s.load.book.rejected) {
		err = fmt.Errorf("%d events are rejected, want %d", len(got), len(s.load.book.rejected))
		for id, want := range s.load.book.rejected {
			if got[id] != want {
				return fmt.Errorf("%w: %s as %q, want %q", err, id, got[id], want)
			}
		}
	}
	return err
}

// reported compares the report store.
func (s *site) reported(bills map[string]*oracle.Expectation) error {
	got, err := s.api.Revenue(s.load.traffic.Month())
	if err == nil {
		err = drive.SameTotals(got, bills)
	}
	if err != nil {
		return fmt.Errorf("report store: %w", err)
	}
	return nil
}

// reconcile runs the command; with --deep it reads the stores by itself.
func (s *site) reconcile(ctx context.Context, more ...string) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	args := append([]string{"reconcile", "--period", s.load.traffic.Month(), "--output", "json"}, more...)
	if len(more) > 0 {
		for _, store := range stores {
			args = append(args, "--"+store, s.addrs["TOLLSTREAM_TEST_"+strings.ToUpper(store)])
		}
	}
	out, errs, code, err := s.api.Run(ctx, s.binary(), s.Logs, "", args...)
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("%s: exit code %d\n%s", strings.Join(args[:3], " "), code, errs)
	}
	counts, err := drive.Reconciled(out)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	if counts.Rated != int64(s.load.book.events) {
		return fmt.Errorf("reconcile counts %d rated, want %d", counts.Rated, s.load.book.events)
	}
	if least := int64(s.load.book.duplicates); counts.Duplicates < least {
		return fmt.Errorf("reconcile counts %d duplicates, and %d were sent on purpose", counts.Duplicates, least)
	}
	s.load.book.counted = counts
	return nil
}
