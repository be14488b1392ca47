// Command chaos disturbs a whole installation on real servers, round after round, and proves after each round that nothing of what was
// acknowledged was lost, charged twice or priced otherwise.
//
// The installation runs on from round to round: five processes of the built program and Apache Kafka, PostgreSQL, Redis and ClickHouse, with a
// proxy in every connection between them. Clients send usage all the while and repeat what was not acknowledged. In a round something
// is killed, stopped, cut off, slowed, filled up or put to another time; then it is healed, and the live invoices, PostgreSQL, the report store and
// `tollstream reconcile` have to come to what an oracle has summed from the acknowledged events.
//
// It may import the end-to-end tests' oracle and drive, and nothing of what it disturbs. What happens in a round follows from the
// seed and the round's number; how the processes meet it does not.
//
// Usage: `make chaos`, or `go run ./bench/chaos -help`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tollstream/tollstream/bench/result"
)

// settings say what is done.
type settings struct {
	Rounds  int
	From    int // the first round
	Seed    uint64
	Rate    int // events a second
	Deep    int // every so many rounds `rated` is walked, and at the end; 0: only then
	Binary  string
	Repo    string // the repository
	Cache   string // of deploy/servers/servers
	Servers string // a set that was started for faults and is kept; "": one of our own
	Logs    string // where logs are kept

	patience time.Duration
}

func main() {
	s := settings{Repo: ".", patience: patience}
	flag.IntVar(&s.Rounds, "rounds", 200, "rounds")
	flag.IntVar(&s.From, "from", 1, "the first round")
	flag.Uint64Var(&s.Seed, "seed", 0, "of the rounds; 0: another one each time")
	flag.IntVar(&s.Rate, "rate", 500, "events a second")
	flag.IntVar(&s.Deep, "deep", 20, "rounds from one walk over `rated` to the next")
	flag.StringVar(&s.Binary, "binary", "", "`PROGRAM` that is already built")
	flag.StringVar(&s.Servers, "servers", "", "`NAME` of a set of servers that was started for faults and is empty; none: one is started and stopped")
	flag.StringVar(&s.Logs, "logs", "", "`DIRECTORY` of the logs; they are removed only if it is not named and all went well")
	out := flag.String("out", "bench/results", "directory of the result; empty: only printed")
	flag.Parse()
	if s.Cache = os.Getenv("TOLLSTREAM_CACHE"); s.Cache == "" {
		s.Cache = ".cache"
	}
	if s.Seed == 0 {
		s.Seed = rand.Uint64N(1_000_000_000)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, s, os.Stdout)
	if err == nil {
		fmt.Print("\n" + r.markdown())
		if *out != "" {
			err = result.Write(*out, "chaos-"+r.Name(), r, r.markdown())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// run does all rounds; it ends with the first that fails, whose logs are kept.
func run(ctx context.Context, s settings, print io.Writer) (*report, error) {
	keep := s.Logs != ""
	if !keep {
		var err error
		if s.Logs, err = os.MkdirTemp("", "tollstream-chaos-"); err != nil {
			return nil, err
		}
	}
	r := newReport(ctx, s)
	err := rounds(ctx, s, r, print)
	if err != nil {
		return nil, fmt.Errorf("%w\nlogs are in %s; again: -seed %d -from %d", err, s.Logs, s.Seed, s.From+len(r.Rounds))
	}
	r.finish()
	if !keep {
		err = os.RemoveAll(s.Logs)
	}
	return r, err
}

// rounds opens the installation, disturbs it, and closes it.
func rounds(ctx context.Context, c settings, r *report, print io.Writer) (err error) {
	fmt.Fprintf(print, "seed %d, logs in %s\n", c.Seed, c.Logs)
	s, err := openSite(ctx, c)
	if s != nil {
		defer func() {
			if closing := s.close(err != nil); err == nil {
				err = closing
			}
		}()
	}
	if err != nil {
		return err
	}
	return s.rounds(ctx, r, print)
}

func (s *site) rounds(ctx context.Context, r *report, print io.Writer) error {
	if err := r.describe(ctx, s); err != nil {
		return err
	}
	for _, text := range r.LeftOut {
		fmt.Fprintln(print, "left out:", text)
	}
	last := s.From + s.Rounds - 1
	for n := s.From; n <= last; n++ {
		deep := n == last || s.Deep > 0 && n%s.Deep == 0
		done, err := s.round(ctx, n, deep)
		if err != nil {
			return fmt.Errorf("round %d, %s: %w", n, done.what(), err)
		}
		r.add(s, done, deep)
		fmt.Fprintf(print, "round %3d  %-60s held %4.1f s, live after %5.2f s, recovered after %5.2f s; %d events\n", n, done.what(), done.Held, done.Live, done.Recovered, s.load.book.events)
	}
	return nil
}

// round disturbs the installation once and waits until it is whole again.
func (s *site) round(ctx context.Context, n int, deep bool) (done round, err error) {
	random := rand.New(rand.NewPCG(s.Seed, uint64(n))) //nolint:gosec // a number of a round
	faults := s.choose(random)
	done = round{Number: n, Began: time.Now().UTC()}
	for _, f := range faults {
		done.Faults = append(done.Faults, f.String())
		done.kinds = append(done.kinds, f.kind)
	}
	finish := s.load.begin(ctx)
	pause(ctx, time.Duration(300+random.IntN(700))*time.Millisecond)
	began := time.Now()
	hold := faults[0].hold
	for _, f := range faults {
		if err = f.inject(); err != nil {
			break
		}
		hold = max(hold, f.hold)
	}
	if err == nil {
		pause(ctx, hold)
	}
	done.Held = time.Since(began).Seconds()
	for _, f := range faults { // all of them, whatever happened
		if e := f.heal(); err == nil {
			err = e
		}
	}
	healed := time.Now()
	if e := finish(); err == nil {
		err = e
	}
	if err == nil {
		err = s.settle(ctx, healed, &done)
	}
	if err == nil && deep {
		err = s.reconcile(ctx, "--deep")
	}
	if err == nil {
		err = s.crashed()
	}
	return done, err
}

// pause lets time pass; nothing is decided by it.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func (s *settings) binary() string {
	if s.Binary != "" {
		return s.Binary
	}
	return filepath.Join(s.Logs, "tollstream")
}
