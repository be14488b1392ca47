package pg_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"
)

// share has the account's line hold the pool's id in its segments.
func (w *world) share(line, pool byte) {
	w.exec("UPDATE line SET segments = '\\x020102'::bytea || uuid_send($2) || '\\xff'::bytea WHERE family = $1", uuidOf(line), uuidOf(pool))
}

func uuidOf(n byte) pgtype.UUID { return pgtype.UUID{Bytes: [16]byte{n}, Valid: true} }

// shared is a pool of November for which the account pays.
func (w *world) shared(pool byte, account string, seq int64) {
	w.exec(`INSERT INTO rater_pool SELECT l.partition, $1, 'invoice', '', 'main', l.owed, 'calls', 'USD', l.usage_start, l.usage_end, 5, '', $3, 1
		FROM line l WHERE l.account = $2`, uuidOf(pool), account, seq)
}

// TestPoolsAreSettled: a job is not over before the others that share a pool which lines have left were swept.
func TestPoolsAreSettled(t *testing.T) {
	w := newWorld(t)
	w.apply(first)
	for i, account := range []string{"a", "b", "c", "d"} {
		w.used(account, byte(i+1))
	}
	seq := w.demand("a")
	w.shared(101, "b", -seq)
	w.share(2, 101)
	w.shared(102, "c", seq) // is settled
	w.share(3, 102)
	w.shared(103, "d", -seq-1) // waits because of another job
	w.share(4, 103)
	list, err := w.store.Unsettled(t.Context(), seq, 10)
	if err != nil || len(list) != 1 || list[0].ID != uuidOf(2).Bytes || list[0].Partition != w.partitionOf("b") {
		t.Fatalf("%+v, %v", list, err)
	}
	// Of b there is late usage alone, which is charged to e.
	w.exec("UPDATE line SET billed = 'e', period_start = usage_end, period_end = usage_end + 1 WHERE account = 'b'")
	if late, err := w.store.Unsettled(t.Context(), seq, 10); err != nil || fmt.Sprint(late) != fmt.Sprint(list) {
		t.Errorf("late: %+v, %v", late, err)
	}
	if settled, err := w.store.Settled(t.Context(), seq, []string{"f"}); err != nil || settled {
		t.Errorf("settled: %v, %v", settled, err)
	}
	r := w.runner("one")
	for n := 0; !strings.Contains(fmt.Sprint(w.sent), "sweep"); n++ {
		if n == 50 {
			t.Fatalf("written was %q", w.sent)
		}
		w.commit(0, 1)
		if _, err := r.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p := w.progress(seq); p.Job.Phase != "waiting" {
		t.Errorf("job %+v", p.Job)
	}
	w.exec("UPDATE rater_pool SET seq = $1 WHERE seq = -$1::bigint", seq) // as the sweep does
	w.steps(r)
	if got := fmt.Sprint(w.sent); strings.Count(got, "sweep") != 1 || strings.Count(got, fmt.Sprintf("result %d of a", seq)) != 1 {
		t.Errorf("%s", got)
	}
	if settled, err := w.store.Settled(t.Context(), seq, []string{"f"}); err != nil || !settled {
		t.Errorf("settled: %v, %v", settled, err)
	}
	if p := w.progress(seq); p.Job.Left != "" {
		t.Errorf("job %+v", p.Job)
	}
}
