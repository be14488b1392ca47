package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tollstream/tollstream/deploy/schema"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/sink/postgres"
	"github.com/tollstream/tollstream/rater/sink/storetest"
)

func pool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	url := teststores.Postgres(t)
	if err := schema.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	p, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return postgres.NewStore(pool(t)) })
}

func BenchmarkInsert(b *testing.B) { storetest.Bench(b, postgres.NewStore(pool(b))) }
