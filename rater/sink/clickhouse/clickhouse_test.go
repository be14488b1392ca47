package clickhouse_test

import (
	"testing"

	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	"github.com/tollstream/tollstream/rater/sink/storetest"
)

func open(t *testing.T, url string) *clickhouse.Store {
	t.Helper()
	for range 2 { // a second migration changes nothing
		if err := clickhouse.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	}
	s, err := clickhouse.Open(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNative1816(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, teststores.ClickHouse(t)) })
}

func TestHTTPCurrent(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return open(t, teststores.ClickHouseCurrent(t)) })
}
