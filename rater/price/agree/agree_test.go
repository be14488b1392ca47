package agree

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/price/oracle"
)

var (
	firstSeed = flag.Uint64("seed", 0, "first seed of TestOracle's cases")
	models    = flag.String("models", "", "draw only these, with commas between them")
	cases     = flag.Uint64("cases", 0, "how many cases; 0: the usual ones, and as many more of random seeds")
)

// usual is how many cases of fixed seeds, and how many of random ones, every run of the tests has.
const usual = 1500

// TestOracle compares random cases. A case that differs is made short; it repeats with -seed.
func TestOracle(t *testing.T) {
	ranges := [][2]uint64{{*firstSeed, *cases}}
	if *cases == 0 {
		random := rand.Uint64() >> 1
		t.Logf("the random seeds begin at %d", random)
		ranges = [][2]uint64{{0, usual}, {random, usual}}
	}
	var o oracle.Options
	if *models != "" {
		o.Models = strings.Split(*models, ",")
	}
	failed := 0
	for _, r := range ranges {
		for seed := r[0]; seed < r[0]+r[1]; seed++ {
			c := oracle.Generate(seed, o)
			why := differs(&c)
			if why == "" {
				continue
			}
			refused := strings.HasPrefix(why, refusal) // and it stays one of these
			c = oracle.Shrink(c, func(c *oracle.Case) bool {
				why := differs(c)
				return why != "" && strings.HasPrefix(why, refusal) == refused
			})
			t.Errorf("seed %d: %s\n%s", seed, differs(&c), c.String())
			if failed++; failed == 5 {
				t.FailNow()
			}
		}
	}
}

const refusal = "the document is refused: "

// differs says in what the product's prices are not the oracle's, "": in nothing.
func differs(c *oracle.Case) string {
	b, err := open(c.Document(), c.Usage.Start)
	if err != nil {
		return refusal + err.Error()
	}
	x := c.Expected()
	for _, way := range []func(*oracle.Case) (*priced, error){b.price, b.fold} {
		got, err := way(c)
		if err != nil {
			return err.Error()
		}
		if got == nil {
			continue
		}
		if why := got.differs(c, &x); why != "" {
			return why
		}
	}
	return ""
}

// differs compares with what is expected.
func (got *priced) differs(c *oracle.Case, x *oracle.Expected) string {
	if len(x.Rejected) != len(got.rejected) {
		return fmt.Sprintf("rejected are %v, want %v", got.rejected, x.Rejected)
	}
	for _, r := range x.Rejected {
		if reason, not := got.rejected[r.ID]; !not || r.Reason != "" && r.Reason != reason {
			return fmt.Sprintf("event %s is rejected for %q, want %q", r.ID, reason, r.Reason)
		}
	}
	if len(x.Lines) != len(got.lines) {
		return fmt.Sprintf("%d lines, want %d", len(got.lines), len(x.Lines))
	}
	for i := range x.Lines {
		want := &x.Lines[i]
		l := got.lines[keyOf(c, want)]
		if l == nil || l.events != want.Events || l.amount != money.MustParse(oracle.Decimal(want.Amount)) {
			return fmt.Sprintf("line %d is %+v, want %s of %d events", i, l, want.Amount.FloatString(12), want.Events)
		}
	}
	if x.Charges != nil {
		for i, charge := range x.Charges {
			if charge != nil && got.charges[i] != money.MustParse(oracle.Decimal(charge)) {
				return fmt.Sprintf("event %s costs %s, want %s", c.Events[i].ID, got.charges[i], charge.FloatString(12))
			}
		}
	}
	return ""
}

func keyOf(c *oracle.Case, l *oracle.ExpectedLine) string {
	key := []string{l.Account, l.Product, l.Package}
	for _, name := range c.GroupBy {
		key = append(key, l.Attributes[name])
	}
	return strings.Join(key, "\x00")
}

func BenchmarkCase(b *testing.B) {
	for seed := uint64(0); b.Loop(); seed++ {
		c := oracle.Generate(seed, oracle.Options{})
		differs(&c)
	}
}
