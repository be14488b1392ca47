package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/sink"
)

const odd = "it's \\ a ? $1"

// adjusted: what definitions 7 did, among what others did and among usage whose sender chose confusing names. The first line is adjusted
// twice, with usage between: 1.7 behind the second, 0.3 − 0.1 of difference. An account is billed in two currencies.
func adjusted(t *testing.T, s Store) {
	adjustment := func(offset int64, source string, activated int64, account, product, currency, charge, after string, line activity.ID) sink.Row {
		u := use{0, offset, 0, activity.KindAdjustment, "", "2026-11-01T00:00:00Z", account, "payer", product, "", currency, "0", charge, after, invoiceAcme, line, nil}
		r := u.row()
		r.Activity.Source, r.Activity.ActivatedSeq = source, activated
		return r
	}
	usage := func(offset int64, source string, activated int64) sink.Row {
		u := use{0, offset, 0, activity.KindUsage, "e", "2026-11-03T00:00:00Z", "acme", "payer", "calls", "", "USD", "3", "1", "1", invoiceAcme, lineCalls, nil}
		r := u.row()
		r.Activity.Source, r.Activity.ActivatedSeq = source, activated
		return r
	}
	fill(t, s, []sink.Row{
		adjustment(20, "definition:7", 8, "acme", "calls", "USD", "-0.1", "0.4", lineCalls),
		usage(21, "", 7), usage(22, "definition:7", 7),
		adjustment(25, "", 7, "acme", "calls", "USD", "0.3", "1.7", lineCalls),
		adjustment(26, "definition:7", 7, "acme", "voice", "EUR", "2", "10", lineVoice),
		adjustment(27, "definition:7", 7, "acme", "calls", "USD", "0", "5.5", lineGamma),
		adjustment(28, "definition:7", 7, "acme-sub", "calls", "USD", "-1000000000000000", "-999999999999999.123456789012", lineSub),
		adjustment(29, "definition:7", 7, odd, odd, "EUR", "-4", "0", lineStorage),
		adjustment(30, "definition:8", 8, "acme", "calls", "USD", "100", "101.7", lineCalls), adjustment(31, "", 8, "acme", "calls", "USD", "100", "201.7", lineCalls),
		adjustment(32, "level", 7, "acme", "calls", "USD", "100", "301.7", lineCalls), adjustment(33, "definition:77", 77, "acme", "calls", "USD", "100", "401.7", lineCalls),
	})
	const lines = `acme calls USD 1: 1.5 1.7 0.2
acme calls USD 1: 5.5 5.5 0
acme voice EUR 1: 8 10 2
acme-sub calls USD 1: 0.876543210988 -999999999999999.123456789012 -1000000000000000
` + odd + " " + odd + " EUR 1: 4 0 -4\n"
	const accounts = `acme  EUR 1: 8 10 2
acme  USD 2: 7 7.2 0.2
acme-sub  USD 1: 0.876543210988 -999999999999999.123456789012 -1000000000000000
` + odd + "  EUR 1: 4 0 -4\n"
	for _, c := range []struct {
		name, want string
		q          sink.AdjustedQuery
	}{
		{"lines", lines, sink.AdjustedQuery{Seq: 7}},
		{"accounts", accounts, sink.AdjustedQuery{Seq: 7, ByAccount: true}},
		{"one account's lines", lines[strings.Index(lines, odd):], sink.AdjustedQuery{Seq: 7, Account: odd}},
		{"one account", accounts[:strings.Index(accounts, "acme-sub")], sink.AdjustedQuery{Seq: 7, Account: "acme", ByAccount: true}},
		{"a job that changed nothing", "", sink.AdjustedQuery{Seq: 9}},
	} {
		for _, limit := range []int{0, 1, 2} {
			got, err := adjustedText(t, s, c.q, limit)
			same(t, fmt.Sprintf("%s, %d at a time", c.name, limit), got, c.want, err)
		}
	}
	rows, _, err := s.Adjusted(t.Context(), sink.AdjustedQuery{Seq: 7, Limit: 1})
	if err != nil || len(rows) != 1 || rows[0].Line != lineCalls || rows[0].Billed != "payer" || rows[0].UsageStart != at("2026-10-31T23:00:00Z") {
		t.Errorf("the first line: %+v, %v", rows, err)
	}
	for _, cursor := range []string{"x", sink.KeysCursor([]string{"acme"}), sink.KeysCursor([]string{"acme", "calls", "no id"})} {
		if _, _, err := s.Adjusted(t.Context(), sink.AdjustedQuery{Seq: 7, After: cursor}); !errors.Is(err, sink.ErrQuery) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
}

// adjustedText tells the rows of all pages: account product currency lines: before after difference.
func adjustedText(t *testing.T, s sink.Adjustments, q sink.AdjustedQuery, limit int) (string, error) {
	t.Helper()
	var b strings.Builder
	for q.Limit = limit; ; {
		rows, next, err := s.Adjusted(t.Context(), q)
		if err != nil {
			return "", err
		}
		for i := range rows {
			r := &rows[i]
			before, err := r.Before()
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "%s %s %s %d: %s %s %s\n", r.Account, r.Product, r.Currency, r.Lines, before, r.After, r.Difference)
		}
		if q.After = next; next == "" || b.Len() > 10_000 {
			return b.String(), nil
		}
	}
}
