package pg

import (
	"context"
	"errors"
	"testing"
	_ "time/tzdata"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/rerate"
)

// TestJobsDoNotGoBack: a process that has slept does not bring back where a job stood, nor an account that it found then.
func TestJobsDoNotGoBack(t *testing.T) {
	ctx, url := context.Background(), teststores.Postgres(t)
	if err := schema.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(ctx, "INSERT INTO rerate_job (seq, demand) VALUES (7, false)"); err != nil {
		t.Fatal(err)
	}
	s := New(pool)
	for _, step := range []struct {
		pass   int
		phase  rerate.Phase
		cursor string
		behind bool
	}{
		{0, rerate.PhaseLooking, "b", false},
		{0, rerate.PhaseLooking, "a", false}, // a page is looked at twice
		{1, rerate.PhaseWaiting, "", false},
		{0, rerate.PhaseLooking, "c", true},
		{1, rerate.PhaseLooking, "", false},
		{1, rerate.PhaseWaiting, "", true},
		{2, rerate.PhaseAccounts, "", false},
		{1, rerate.PhaseLooking, "z", true},
		{2, rerate.PhaseDone, "", false},
		{2, rerate.PhaseAccounts, "", true},
	} {
		j := rerate.Job{Seq: 7, Phase: step.phase, Pass: step.pass, Cursor: step.cursor}
		found := []rerate.AccountJob{{Seq: 7, Account: string(step.phase) + step.cursor, State: rerate.StateOpen}}
		if err := s.Save(ctx, j, found, map[int32]int64{0: 1}); errors.Is(err, rerate.ErrBehind) != step.behind || err != nil && !step.behind {
			t.Errorf("%+v: %v", step, err)
		}
	}
	var got string
	if err := pool.QueryRow(ctx, "SELECT string_agg(account, ' ' ORDER BY account) FROM rerate_account").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "accounts done looking lookinga lookingb waiting"; got != want {
		t.Errorf("accounts %q, want %q", got, want)
	}
}
