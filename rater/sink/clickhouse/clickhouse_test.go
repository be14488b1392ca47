package clickhouse_test

import (
	"io"
	"net"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"

	driver "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/rater/sink"
	"github.com/tollstream/tollstream/rater/sink/clickhouse"
	"github.com/tollstream/tollstream/rater/sink/storetest"
)

func open(t testing.TB, url string) *clickhouse.Store {
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

// The table of an earlier version gets the columns that it lacks, beside what stands in it.
func TestEarlierTable(t *testing.T) {
	for name, corner := range map[string]func(testing.TB) string{"native 18.16": teststores.ClickHouse, "http current": teststores.ClickHouseCurrent} {
		t.Run(name, func(t *testing.T) {
			url := corner(t)
			s := open(t, url)
			fill(t, s, storetest.Rows()[:1]) // which have no extra
			o, err := driver.ParseDSN(url)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := driver.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, column := range []string{"event_package", "amount", "rate_exchange_date"} {
				if err := conn.Exec(t.Context(), "ALTER TABLE rated_activity DROP COLUMN "+column); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, err := s.Activities(t.Context(), sink.ActivitiesQuery{}); err == nil {
				t.Fatal("the columns are still there")
			}
			s = open(t, url)
			rows := storetest.Rows()
			fill(t, s, rows[1:])
			got, _, err := s.Activities(t.Context(), sink.ActivitiesQuery{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, rows) {
				t.Errorf("got %+v\nwant %+v", got, rows)
			}
		})
	}
}

func fill(t *testing.T, s *clickhouse.Store, rows []sink.Row) {
	t.Helper()
	for _, b := range storetest.Blocks(rows) {
		if err := s.Insert(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkNative1816(b *testing.B) { storetest.Bench(b, open(b, teststores.ClickHouse(b))) }

func BenchmarkHTTPCurrent(b *testing.B) { storetest.Bench(b, open(b, teststores.ClickHouseCurrent(b))) }

// wire stands between the store and the server, and can be cut.
type wire struct {
	listener net.Listener
	server   string
	mu       sync.Mutex
	cut      bool
	open     []net.Conn
}

func (w *wire) serve() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		w.mu.Lock()
		if w.cut || err != nil {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			w.mu.Unlock()
			continue
		}
		w.open = append(w.open, client, server)
		w.mu.Unlock()
		for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1]) // ends when the wire is cut
				_ = pair[0].Close()
			}()
		}
	}
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

// ClickHouse goes away and comes back: errors meanwhile, no restart of ours needed, every row once.
func TestServerAway(t *testing.T) {
	for name, corner := range map[string]func(testing.TB) string{"native 18.16": teststores.ClickHouse, "http current": teststores.ClickHouseCurrent} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(corner(t))
			if err != nil {
				t.Fatal(err)
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			w := &wire{listener: listener, server: u.Host}
			t.Cleanup(func() { _ = listener.Close(); w.set(true) })
			go w.serve()
			u.Host = listener.Addr().String()
			s := open(t, u.String())
			block := storetest.Blocks(storetest.Rows())[0]
			insert := func() error { return s.Insert(t.Context(), block) }
			if err := insert(); err != nil {
				t.Fatal(err)
			}
			w.set(true)
			if insert() == nil {
				t.Error("an insert is acknowledged without a server")
			}
			if _, err := s.MaxOffsets(t.Context(), []sink.Position{{Partition: 0, Last: -1}}); err == nil {
				t.Error("a question is answered without a server")
			}
			w.set(false)
			for attempt := 0; ; attempt++ {
				if err = insert(); err == nil {
					break
				}
				if attempt == 20 {
					t.Fatalf("the server is back: %v", err)
				}
			}
			rows, _, err := s.Activities(t.Context(), sink.ActivitiesQuery{})
			if err != nil || len(rows) != len(block.Rows) {
				t.Errorf("%d rows, %v, want %d", len(rows), err, len(block.Rows))
			}
		})
	}
}

// TestChangedTable: values are sent as bytes, so a column of another type must take none.
func TestChangedTable(t *testing.T) {
	for name, url := range map[string]string{"native": teststores.ClickHouse(t), "http": teststores.ClickHouseCurrent(t)} {
		t.Run(name, func(t *testing.T) {
			s := open(t, url)
			options, err := driver.ParseDSN(url)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := driver.Open(options)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.Exec(t.Context(), "ALTER TABLE rated_activity MODIFY COLUMN charge Decimal(38, 10)"); err != nil {
				t.Fatal(err)
			}
			err = s.Insert(t.Context(), storetest.Blocks(storetest.Rows())[0])
			if err == nil || !strings.Contains(err.Error(), "Decimal(38, 10), not Decimal(38, 12): the table was changed") {
				t.Errorf("a block for a table with a column of another type: %v", err)
			}
			var n uint64
			if err := conn.QueryRow(t.Context(), "SELECT count() FROM rated_activity").Scan(&n); err != nil || n != 0 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
}
