package live_test

import (
	"context"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tollstream/tollstream/deploy/freeport"
	"github.com/tollstream/tollstream/deploy/teststores"
	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater"
	"github.com/tollstream/tollstream/rater/activity"
	"github.com/tollstream/tollstream/rater/catalog"
	"github.com/tollstream/tollstream/rater/live"
)

const day = int64(24 * time.Hour)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

type fixture struct {
	client *redis.Client
	wire   *wire
	prefix string
	clock  *clock
	p      *live.Projector
	r      *live.Reader
}

func connect(t testing.TB, url, prefix string) *fixture {
	t.Helper()
	url, quick := strings.CutSuffix(url, "?quick")
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if quick {
		options.MaxRetries, options.DialerRetries = -1, 1
	}
	w := &wire{}
	options.Dialer = w.dial
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	c := &clock{time.Unix(0, 500*day)}
	return &fixture{client, w, prefix, c, live.NewProjector(client, c, prefix), live.NewReader(client, prefix)}
}

// wire is a fixture's connections, which can be cut.
type wire struct {
	mu   sync.Mutex
	open []net.Conn
}

func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = append(w.open, c)
	return c, nil
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
}

// both runs a test on the embedded store and on a real server.
func both(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Run("embedded", func(t *testing.T) {
		server := miniredis.RunT(t)
		test(t, connect(t, "redis://"+server.Addr(), "t:"))
	})
	t.Run("server", func(t *testing.T) {
		url, prefix := teststores.Redis(t)
		test(t, connect(t, url, prefix))
	})
}

func id(n int) activity.ID { return activity.LineID(activity.ID{byte(n), byte(n >> 8)}, activity.ID{}) }

func head(n byte) rater.Head { return rater.Head{0, n, 0xff} }

func lineState(n, invoice int, version int64) rater.LineState {
	return rater.LineState{
		Family: id(n), Line: id(100000 + n), Invoice: id(90000 + invoice), Position: n % 3, Account: fmt.Sprint("user-", n), Billed: fmt.Sprint("acme-", invoice),
		Seller: "main", Product: "api-calls", Package: "starter", Group: []activity.Attribute{{Name: "region", Value: "eu\x00"}},
		Currency: "USD", Period: catalog.Period{Start: 480 * day, End: 510 * day}, UsagePeriod: catalog.Period{Start: -5, End: 510 * day},
		Quantity: money.MustParse("-123.000000000001"), Events: 7, Amount: money.MustParse("12.5"), Segments: []byte{0, 1, 255}, Seq: 3,
		RateLevel: "contract", RateAccount: "acme", RateID: "r-1", RateModel: "graduated", Version: version,
	}
}

func (f *fixture) project(t testing.TB, ps ...*rater.Projection) []bool {
	t.Helper()
	applied, err := f.p.Project(t.Context(), ps)
	if err != nil {
		t.Fatal(err)
	}
	return applied
}

func (f *fixture) must(t testing.TB, want bool, p *rater.Projection) {
	t.Helper()
	if got := f.project(t, p); got[0] != want {
		t.Fatalf("applied %v, want %v", got[0], want)
	}
}

func (f *fixture) invoice(t testing.TB, invoice int, partitions ...int32) (lines []rater.LineState, through int64, ok bool) {
	t.Helper()
	lines, through, ok, err := f.r.Invoice(t.Context(), id(90000+invoice), partitions)
	if err != nil {
		t.Fatal(err)
	}
	return lines, through, ok
}

func (f *fixture) versions(t testing.TB, invoice int) map[activity.ID]int64 {
	t.Helper()
	lines, _, ok := f.invoice(t, invoice, 0)
	if !ok {
		t.Fatal("the invoice cannot be read")
	}
	versions := map[activity.ID]int64{}
	for _, l := range lines {
		versions[l.Family] = l.Version
	}
	return versions
}

func begin(n byte) *rater.Projection {
	return &rater.Projection{Force: true, Next: head(n), Rebuilding: true, LogTime: 499 * day}
}

func step(from, to byte, lines ...rater.LineState) *rater.Projection {
	return &rater.Projection{Expect: head(from), Next: head(to), LogTime: 499 * day, Lines: lines}
}

func TestLinesComeBackWhole(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.must(t, true, begin(1))
		late := rater.LineState{Invoice: id(90001), Line: id(5), Version: 9, Segments: []byte{}, Period: catalog.Period{End: 470 * day}}
		f.must(t, true, step(1, 2, lineState(1, 0, 4), lineState(2, 0, 5), late))
		lines, through, ok := f.invoice(t, 0, 0)
		if !ok || through != 499*day || len(lines) != 2 {
			t.Fatalf("%d lines through %d, %v", len(lines), through, ok)
		}
		for _, l := range lines {
			want := lineState(1, 0, 4)
			if l.Family == id(2) {
				want = lineState(2, 0, 5)
			}
			if !reflect.DeepEqual(l, want) {
				t.Errorf("got  %+v\nwant %+v", l, want)
			}
		}
		if lines, _, ok := f.invoice(t, 1, 0); !ok || len(lines) != 1 || !reflect.DeepEqual(lines[0], late) {
			t.Errorf("the almost empty line: %+v", lines)
		}
		if lines, _, ok := f.invoice(t, 2, 0); ok {
			t.Errorf("an invoice of which nothing is kept is trusted: %+v", lines)
		}
	})
}

func TestReadersFallThrough(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		if _, _, ok := f.invoice(t, 0, 0); ok {
			t.Error("a partition without a head is trusted")
		}
		f.must(t, true, begin(1))
		if _, _, ok := f.invoice(t, 0, 0); ok {
			t.Error("a rebuilding partition is trusted")
		}
		page := step(1, 2, lineState(1, 0, 1))
		page.Rebuilding = true
		f.must(t, true, page)
		if _, _, ok := f.invoice(t, 0, 0); ok {
			t.Error("a partition is trusted after the first page")
		}
		f.must(t, true, step(2, 3))
		if lines, _, ok := f.invoice(t, 0, 0); !ok || len(lines) != 1 {
			t.Errorf("after the rebuild: %d lines, %v", len(lines), ok)
		}
		if _, _, ok := f.invoice(t, 0, 0, 1); ok {
			t.Error("an invoice is trusted while one of its partitions has no head")
		}
		if _, _, ok := f.invoice(t, 0); ok {
			t.Error("an invoice of no partition is trusted")
		}
	})
}

func TestRatedThrough(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		for partition := range int32(3) {
			p := begin(1)
			p.Partition, p.Rebuilding = partition, false
			p.LogTime, p.CaughtUp = int64(400+partition)*day, partition == 0
			p.Lines = []rater.LineState{lineState(1, 0, 1)}
			f.must(t, true, p)
		}
		// Partition 0 is caught up: it counts as of the clock, day 500, not as of day 400.
		for _, test := range []struct {
			partitions []int32
			want       int64
		}{{[]int32{0}, 500 * day}, {[]int32{0, 1}, 401 * day}, {[]int32{2, 0}, 402 * day}, {[]int32{2, 1, 0}, 401 * day}} {
			if _, through, ok := f.invoice(t, 0, test.partitions...); !ok || through != test.want {
				t.Errorf("partitions %v: through %d, %v, want %d", test.partitions, through, ok, test.want)
			}
		}
		// A broker whose clock is ahead.
		p := &rater.Projection{Expect: head(1), Next: head(2), LogTime: 600 * day, CaughtUp: true}
		f.must(t, true, p)
		if _, through, _ := f.invoice(t, 0, 0); through != 600*day {
			t.Errorf("through %d", through)
		}
	})
}

func TestOlderNeverOverwritesNewer(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.must(t, true, begin(1))
		f.must(t, true, step(1, 2, lineState(1, 0, 1000), lineState(2, 0, 9)))
		// A zombie that rebuilds between the owner's writes: its versions are older where it fell behind.
		f.must(t, true, begin(77))
		f.must(t, true, step(77, 78, lineState(1, 0, 999), lineState(2, 0, 10), lineState(3, 0, 1)))
		want := map[activity.ID]int64{id(1): 1000, id(2): 10, id(3): 1}
		if got := f.versions(t, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("versions %v, want %v", got, want)
		}
		// The owner notices.
		f.must(t, false, step(2, 3, lineState(2, 0, 11)))
		if got := f.versions(t, 0); !reflect.DeepEqual(got, want) {
			t.Errorf("a refused write changed lines: %v", got)
		}
	})
}

// A write whose lines are all newer than whatever was written before replaces them unseen; one that is not compares line by line,
// whichever way the newest version came there.
func TestOlderNeverOverwritesNewerAfterManyWrites(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.must(t, true, begin(1))
		at := byte(1)
		write := func(want map[int]int64, lines ...rater.LineState) {
			t.Helper()
			f.must(t, true, step(at, at+1, lines...))
			at++
			expected := map[activity.ID]int64{}
			for n, version := range want {
				expected[id(n)] = version
			}
			if got := f.versions(t, 0); !reflect.DeepEqual(got, expected) {
				t.Errorf("step %d: versions %v, want %v", at, got, expected)
			}
		}
		write(map[int]int64{1: 10, 2: 30}, lineState(2, 0, 30), lineState(1, 0, 10)) // the newest comes first
		write(map[int]int64{1: 20, 2: 30}, lineState(1, 0, 20), lineState(2, 0, 25))
		write(map[int]int64{1: 40, 2: 41, 3: 42}, lineState(1, 0, 40), lineState(2, 0, 41), lineState(3, 0, 42)) // all newer, one of them new
		write(map[int]int64{1: 40, 2: 41, 3: 42}, lineState(1, 0, 35), lineState(3, 0, 36))
		write(map[int]int64{1: 100, 2: 41, 3: 42}, lineState(1, 0, 100))
		write(map[int]int64{1: 100, 2: 60, 3: 42}, lineState(1, 0, 99), lineState(2, 0, 60))
		write(map[int]int64{1: 100, 2: 60, 3: 61, 4: 5}, lineState(3, 0, 61), lineState(4, 0, 5))
		write(map[int]int64{1: 100, 2: 60, 3: 61, 4: 5}, lineState(1, 0, 70)) // newer than the write before, not than the newest
		write(map[int]int64{1: 100, 2: 150, 3: 61, 4: 5}, lineState(1, 0, 99), lineState(2, 0, 150))
		write(map[int]int64{1: 100, 2: 150, 3: 61, 4: 151}, lineState(4, 0, 151))
		write(map[int]int64{1: 100, 2: 150, 3: 61, 4: 151}, lineState(4, 0, 101), lineState(1, 0, 100))
	})
}

func TestAnotherHeadWritesNothing(t *testing.T) {
	tests := map[string]func(t *testing.T, f *fixture){
		"flushed": func(t *testing.T, f *fixture) {
			if err := f.client.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		},
		"an old copy came back": func(t *testing.T, f *fixture) {
			token := head(1)
			if err := f.client.HSet(t.Context(), f.prefix+"live:{0}:head", "token", string(token[:])).Err(); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, fault := range tests {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, f *fixture) {
				f.must(t, true, begin(1))
				f.must(t, true, step(1, 2, lineState(1, 0, 1)))
				f.must(t, true, step(2, 3, lineState(1, 0, 2)))
				fault(t, f)
				before := dump(t, f)
				f.must(t, false, step(3, 4, lineState(1, 0, 3), lineState(2, 0, 3)))
				f.must(t, false, step(3, 5))
				if after := dump(t, f); !reflect.DeepEqual(before, after) {
					t.Errorf("a refused write changed\n%v\nto\n%v", before, after)
				}
				// The rebuild: everything from PostgreSQL, then what changed meanwhile.
				f.must(t, true, begin(10))
				page := step(10, 11, lineState(1, 0, 2), lineState(2, 0, 1))
				page.Rebuilding = true
				f.must(t, true, page)
				f.must(t, true, step(11, 12, lineState(1, 0, 3)))
				if got, want := f.versions(t, 0), (map[activity.ID]int64{id(1): 3, id(2): 1}); !reflect.DeepEqual(got, want) {
					t.Errorf("versions %v, want %v", got, want)
				}
			})
		})
	}
}

// dump returns everything under the fixture's prefix.
func dump(t *testing.T, f *fixture) map[string]any {
	t.Helper()
	all := map[string]any{}
	keys, err := f.client.Keys(t.Context(), f.prefix+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		switch {
		case strings.HasSuffix(key, ":invoices"):
			all[key] = f.client.ZRangeWithScores(t.Context(), key, 0, -1).Val()
		case strings.Contains(key, ":invoice:"):
			all[key] = slices.Sorted(slices.Values(f.client.SMembers(t.Context(), key).Val()))
		default:
			all[key] = f.client.HGetAll(t.Context(), key).Val()
		}
	}
	return all
}

func TestARepeatedWriteIsApplied(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		for range 2 {
			f.must(t, true, begin(1))
		}
		for range 2 { // the answer to the first was lost
			f.must(t, true, step(1, 2, lineState(1, 0, 1)))
		}
		f.must(t, true, step(2, 3, lineState(1, 0, 2)))
		f.must(t, false, step(1, 2, lineState(1, 0, 1))) // it arrives once more, late
		if got := f.versions(t, 0); got[id(1)] != 2 {
			t.Errorf("versions %v", got)
		}
	})
}

func TestClear(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.must(t, true, begin(1))
		f.must(t, true, step(1, 2, lineState(1, 0, 1000), lineState(2, 1, 1000)))
		other := begin(1)
		other.Partition, other.Rebuilding, other.Lines = 1, false, []rater.LineState{lineState(3, 0, 1)}
		f.must(t, true, other)
		clear := begin(3)
		clear.Clear, clear.Rebuilding = true, false
		clear.Lines = []rater.LineState{lineState(1, 0, 7)}
		f.must(t, true, clear)
		if got, want := f.versions(t, 0), (map[activity.ID]int64{id(1): 7}); !reflect.DeepEqual(got, want) {
			t.Errorf("versions %v, want %v: the log was cut back", got, want)
		}
		if lines, _, ok := f.invoice(t, 1, 0); ok {
			t.Errorf("%d lines of a dropped invoice", len(lines))
		}
		if lines, _, _ := f.invoice(t, 0, 1); len(lines) != 1 {
			t.Errorf("another partition has %d lines", len(lines))
		}
	})
}

func TestOldInvoices(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		old := lineState(1, 0, 1)
		old.Period.End = 400 * day
		p := begin(1)
		p.LogTime, p.Rebuilding, p.Lines = 401*day, false, []rater.LineState{old, lineState(2, 1, 1)}
		f.must(t, true, p)
		for i, test := range []struct {
			logTime       int64
			trusted, kept bool
		}{
			{438 * day, true, true},
			{438*day + 1, false, true}, // a rebuild does not bring all of its lines
			{445 * day, false, true},
			{445*day + int64(time.Second), false, false},
		} {
			p := step(byte(i+1), byte(i+2))
			p.LogTime = test.logTime
			f.must(t, true, p)
			lines, _, ok := f.invoice(t, 0, 0)
			if ok != test.trusted || ok && len(lines) != 1 {
				t.Errorf("at %d: %d lines, %v", test.logTime, len(lines), ok)
			}
			if n := f.client.ZCard(t.Context(), f.prefix+"live:{0}:invoices").Val(); n == 2 != test.kept {
				t.Errorf("at %d: %d invoices are kept", test.logTime, n)
			}
			if n := len(f.client.Keys(t.Context(), f.prefix+"live:{0}:invoice:*").Val()); n == 2 != test.kept {
				t.Errorf("at %d: %d invoices stand there", test.logTime, n)
			}
			if n := f.client.HLen(t.Context(), f.prefix+"live:{0}:lines").Val(); n == 2 != test.kept {
				t.Errorf("at %d: %d lines stand there", test.logTime, n)
			}
		}
		if lines, _, ok := f.invoice(t, 1, 0); !ok || len(lines) != 1 {
			t.Errorf("%d lines of the current invoice, %v", len(lines), ok)
		}
	})
}

// Several partitions, more lines than one script takes, one invoice with more than that, and one partition
// with another head.
func TestManyLines(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		var many []rater.LineState
		for n := range 7000 {
			invoice := 0
			if n%7 == 0 {
				invoice = 1 + n%350
			}
			many = append(many, lineState(n, invoice, int64(n+1)))
		}
		ps := make([]*rater.Projection, 3)
		for i := range ps {
			ps[i] = begin(1)
			ps[i].Partition, ps[i].Lines, ps[i].Rebuilding = int32(i), many, i == 1
		}
		if got, want := f.project(t, ps...), []bool{true, true, true}; !reflect.DeepEqual(got, want) {
			t.Fatalf("applied %v", got)
		}
		lines, _, ok := f.invoice(t, 0, 0, 2)
		if !ok || len(lines) != 12000 {
			t.Fatalf("%d lines, %v", len(lines), ok)
		}
		if _, _, ok := f.invoice(t, 0, 1); ok {
			t.Error("a partition is trusted that is rebuilding")
		}
		for i := range many {
			many[i].Version += 10000
		}
		for i := range ps {
			ps[i] = step(1, 2, many...)
			ps[i].Partition = int32(i)
		}
		ps[2].Expect = head(9)
		if got, want := f.project(t, ps...), []bool{true, true, false}; !reflect.DeepEqual(got, want) {
			t.Fatalf("applied %v, want %v", got, want)
		}
		for partition, newer := range map[int32]bool{0: true, 1: true, 2: false} {
			lines, _, ok := f.invoice(t, 0, partition)
			if !ok || len(lines) != 6000 {
				t.Fatalf("%d lines on partition %d, %v", len(lines), partition, ok)
			}
			for i := range lines {
				if lines[i].Version > 10000 != newer {
					t.Fatalf("version %d on partition %d", lines[i].Version, partition)
				}
			}
		}
	})
}

func TestScriptsAreLoadedAgain(t *testing.T) {
	both(t, func(t *testing.T, f *fixture) {
		f.must(t, true, begin(1))
		for n := byte(1); n < 4; n++ {
			f.flushScripts(t)
			f.must(t, true, step(n, n+1, lineState(1, 0, int64(n))))
			f.flushScripts(t)
			if got := f.versions(t, 0); got[id(1)] != int64(n) {
				t.Errorf("versions %v after %d writes", got, n)
			}
		}
	})
}

func (f *fixture) flushScripts(t *testing.T) {
	t.Helper()
	if err := f.client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestServerAway(t *testing.T) {
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(address); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	f := connect(t, "redis://"+address+"?quick", "t:")
	f.must(t, true, begin(1))
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if applied, err := f.p.Project(ctx, []*rater.Projection{step(1, 2)}); err == nil || applied[0] {
		t.Errorf("applied %v, %v", applied, err)
	}
	if _, _, ok, err := f.r.Invoice(ctx, id(1), []int32{0}); err == nil || ok {
		t.Errorf("ok %v, %v", ok, err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	f.must(t, true, step(1, 2)) // miniredis keeps its data
}
