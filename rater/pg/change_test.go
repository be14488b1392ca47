package pg_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/pg"
)

// book is what lines have to be, by their ids.
type book struct {
	t     *testing.T
	s     *pg.Store
	pool  *pgxpool.Pool
	f     rater.Fence
	lines map[activity.ID]rater.LineState
	keys  []activity.ID // of lines
}

// newBook commits so many families, each tenth with two lines.
func newBook(t *testing.T, families int) *book {
	s, pool := open(t)
	_, f := acquire(t, s, 3, alice)
	b := &book{t: t, s: s, pool: pool, f: f, lines: map[activity.ID]rater.LineState{}}
	c := cut(f, f.Next+1)
	for i := range families {
		for position := range 1 + (i+1)%10/9 {
			l := lineState(i, position)
			l.Line = activity.LineID(l.Family, l.Invoice)
			b.lines[l.Line], b.keys = l, append(b.keys, l.Line)
			c.Lines = append(c.Lines, l)
		}
	}
	b.commit(c)
	return b
}

func (b *book) commit(c *rater.Cut) {
	b.t.Helper()
	commit(b.t, b.s, rater.OutcomeCommitted, c)
	b.f.Next = c.Next
}

// change commits changes of lines that stand, from the n-th on in a few steps.
func (b *book) change(from, n, step int) {
	b.t.Helper()
	c := cut(b.f, b.f.Next+1)
	for i := from; i < len(b.keys) && n > 0; i, n = i+step, n-1 {
		l := b.lines[b.keys[i]]
		l.Quantity, l.Amount, l.Events = money.FromInt(c.Next), money.MustParse(fmt.Sprintf("-%d.000000000001", i)), l.Events+1
		l.Segments, l.Seq, l.Version = bytes.Repeat([]byte{byte(i), 0xff}, i%100), l.Seq+c.Next, 1000*c.Next
		l.RateLevel, l.RateAccount, l.RateID, l.RateModel = "product_default", "", fmt.Sprintf("rate \"%d\" {é}", i), "volume"
		b.lines[l.Line] = l
		c.Lines, c.Stored = append(c.Lines, l), append(c.Stored, true)
	}
	slices.Reverse(c.Lines) // they come in any order
	b.commit(c)
}

// waiting is how many lines' changes are not folded.
func (b *book) waiting() (n int) {
	b.t.Helper()
	if err := b.pool.QueryRow(b.t.Context(), "SELECT coalesce(sum(cardinality(families)), 0) FROM line_change").Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// check reads all lines in each way there is.
func (b *book) check(when string) {
	b.t.Helper()
	ctx := b.t.Context()
	families := map[activity.ID]bool{}
	for _, l := range b.lines {
		families[l.Family] = true
	}
	var all []activity.ID
	for id := range families {
		all = append(all, id)
	}
	lines, err := b.s.Lines(ctx, b.f, all)
	b.same(when+", by family", lines, err, len(b.lines))
	var paged []rater.LineState
	from, more := activity.ID{}, true
	for more {
		var page []rater.LineState
		if page, from, more, err = b.s.OpenLines(ctx, b.f, 0, from, 500); err != nil {
			break
		}
		paged = append(paged, page...)
	}
	b.same(when+", in pages", paged, err, len(b.lines))
	lines, err = b.s.InvoiceLines(ctx, []activity.ID{id(9000), id(9001)})
	b.same(when+", by invoice", lines, err, len(b.lines))
	lines, err = b.s.LinesOfBilled(ctx, "acme", 150)
	b.same(when+", by payer", lines, err, len(b.lines))
	lines, err = b.s.LinesOfAccount(ctx, 3, "user-8")
	b.same(when+", by account", lines, err, 2)
}

func (b *book) same(when string, lines []rater.LineState, err error, n int) {
	b.t.Helper()
	if err != nil || len(lines) != n {
		b.t.Fatalf("%s: %d lines, want %d, %v", when, len(lines), n, err)
	}
	for i := range lines {
		want := b.lines[lines[i].Line]
		if got := lines[i]; len(want.Segments)+len(got.Segments) == 0 {
			want.Segments, lines[i].Segments = nil, nil
		}
		if !reflect.DeepEqual(lines[i], want) {
			b.t.Fatalf("%s: a line is\n%+v, want\n%+v", when, lines[i], want)
		}
	}
}

func (b *book) fold() {
	b.t.Helper()
	if err := b.s.Fold(b.t.Context(), b.f); err != nil {
		b.t.Fatal(err)
	}
}

// Whatever a commit does with changed lines, they are read as it left them, before they are folded and afterwards.
func TestChangedLines(t *testing.T) {
	const n = 2500 // more than one part of a folding
	b := newBook(t, n)
	b.check("new")
	b.fold() // nothing
	b.change(0, n, 1)
	if w := b.waiting(); w != n {
		t.Fatalf("%d changes wait, want %d", w, n)
	}
	b.check("appended")
	b.change(7, 300, 3)
	b.check("appended again")
	b.change(1, 20, 11) // few: updated, whatever was appended before
	if w := b.waiting(); w != n+300 {
		t.Fatalf("%d changes wait, want %d", w, n+300)
	}
	b.check("updated")
	b.fold()
	if w := b.waiting(); w != 0 {
		t.Fatalf("%d changes wait", w)
	}
	b.check("folded")
	b.change(5, 256, 2)
	b.change(0, 3, 1)
	b.fold()
	b.check("folded again")

	// What may not be appended: a line at another's place, and what has second states.
	moved := cut(b.f, b.f.Next+1)
	for i := range 300 {
		l := b.lines[b.keys[i]]
		l.Second, l.Version = []byte{9}, 10_000
		b.lines[l.Line] = l
		moved.Lines, moved.Stored = append(moved.Lines, l), append(moved.Stored, false)
	}
	b.change(0, 300, 1)
	for i := range moved.Lines {
		l := b.lines[moved.Lines[i].Line]
		l.Version = 10_000
		b.lines[l.Line], moved.Lines[i] = l, l
	}
	moved.Fence, moved.Next = b.f, b.f.Next+1
	b.commit(moved)
	b.check("written whole")
	b.fold()
	b.check("written whole, folded")
}

// A line may be of any size, and a family may have many lines.
func TestChangesOfAnySize(t *testing.T) {
	b := newBook(t, 400)
	c := cut(b.f, b.f.Next+1)
	for i := range 400 {
		l := b.lines[b.keys[i]]
		l.Segments, l.Version = bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, i*i/2), 5000
		b.lines[l.Line] = l
		c.Lines, c.Stored = append(c.Lines, l), append(c.Stored, true)
	}
	b.commit(c)
	b.check("appended")
	b.fold()
	b.check("folded")
}

// A zombie folds nothing. Whoever comes next finds what was appended and folds it.
func TestFoldIsFenced(t *testing.T) {
	b := newBook(t, 300)
	b.change(0, 300, 1)
	zombie := b.f
	_, b.f = acquire(t, b.s, 3, bob)
	b.check("acquired")
	if err := b.s.Fold(t.Context(), zombie); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("a zombie folds: %v", err)
	}
	if w := b.waiting(); w != 300 {
		t.Fatalf("%d changes wait, want 300", w)
	}
	b.change(0, 256, 1)
	b.fold()
	b.check("folded")

	// A store that fell back behind the claim.
	ahead := b.f
	ahead.Next++
	b.change(0, 0, 1)
	b.f.Next = ahead.Next
	b.change(0, 256, 1)
	ahead.Next = b.f.Next + 1
	if err := b.s.Fold(t.Context(), ahead); !errors.Is(err, rater.ErrFenced) {
		t.Errorf("a claim that the store does not know folds: %v", err)
	}
}

// What is killed between two parts of a folding is gone on with; and what comes behind it, or a failover that loses a part and not the
// commits, makes it begin anew: nothing may be dropped that does not stand in its row.
func TestFoldingInParts(t *testing.T) {
	b := newBook(t, 300)
	ctx := t.Context()
	exec := func(sql string) {
		t.Helper()
		if _, err := b.pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	b.change(0, 300, 1)
	exec("CREATE TABLE kept_line AS SELECT * FROM line")
	exec("CREATE TABLE kept_cut AS SELECT * FROM line_cut")
	half := activity.ID{0x80}
	if err := pg.FoldPart(b.s, ctx, b.f, b.f.Next, nil, &half); err != nil {
		t.Fatal(err)
	}
	b.check("half folded")
	exec("BEGIN; DELETE FROM line; INSERT INTO line SELECT * FROM kept_line; DELETE FROM line_cut; INSERT INTO line_cut SELECT * FROM kept_cut; COMMIT")
	if err := pg.FoldPart(b.s, ctx, b.f, b.f.Next, &half, nil); err == nil {
		t.Error("a folding goes on though its first part is lost")
	}
	b.check("half folded and lost")

	if err := pg.FoldPart(b.s, ctx, b.f, b.f.Next, nil, &half); err != nil {
		t.Fatal(err)
	}
	through := b.f.Next
	b.change(2, 260, 1)
	b.check("half folded, and more appended")
	if err := pg.FoldPart(b.s, ctx, b.f, through, &half, nil); err != nil {
		t.Fatal(err)
	}
	if w := b.waiting(); w != 260 {
		t.Errorf("%d changes wait, want those that came later", w)
	}
	b.check("folded, and more appended")
	if err := pg.FoldPart(b.s, ctx, b.f, b.f.Next, nil, &half); err != nil {
		t.Fatal(err)
	}
	b.fold() // the other half
	if w := b.waiting(); w != 0 {
		t.Errorf("%d changes wait", w)
	}
	b.check("folded")
}
