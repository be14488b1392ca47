package oracle

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// mistake is what a price could get wrong, planted by pricing a changed case.
type mistake struct {
	name   string
	change func(*Case)
	// What is left at most, and a word that must be in the document.
	events, rates, tiers int
	shows                string
}

var mistakes = []mistake{
	{"bounds are always inclusive", each(func(r *Rate) { r.HalfOpen = false }), 1, 1, 2, "bounds: half_open"},
	{"tiers never begin anew", each(func(r *Rate) { r.Restart = false }), 2, 2, 2, "tiers_restart: true"},
	{"nothing is included", each(func(r *Rate) { r.Included = nil }), 1, 1, 1, "included: "},
	{"no maximum", each(func(r *Rate) { r.Maximum = nil }), 1, 1, 1, "maximum: "},
	{"clocks of UTC", func(c *Case) { c.Usage.Zone = time.UTC }, 1, 1, 1, "model: "},
	{"every event is split", each(func(r *Rate) { r.WholeEvent = false }), 2, 2, 2, "split: false"},
	{"flat prices at zero", each(func(r *Rate) { r.ZeroFlat = true }), 1, 1, 1, "flat_price: "},
	{"prefixes by their order", each(func(r *Rate) { slices.Reverse(r.Dimensions) }), 1, 1, 1, "dimensions: "},
	{"late usage is dropped", func(c *Case) {
		for i := 1; i < len(c.Events); i++ {
			if c.Events[i].Time.Before(c.Events[i-1].Time) {
				c.Events = slices.Delete(c.Events, i, i+1)
			}
		}
	}, 2, 1, 1, "model: "},
	{"no fixed price", each(func(r *Rate) { r.Fixed = nil }), 1, 1, 0, "fixed: "},
}

func each(change func(*Rate)) func(*Case) {
	return func(c *Case) {
		for _, r := range c.parts() {
			change(r)
		}
	}
}

func (m *mistake) shown(c *Case) bool {
	n := c.clone()
	m.change(&n)
	return !same(c.Expected(), n.Expected())
}

// A failing case of any size comes down to the few events and the one option that it is about.
func TestShrink(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			found := 0
			for seed := uint64(0); found < 3 && seed < 20_000; seed++ {
				c := Generate(seed, Options{})
				if !m.shown(&c) {
					continue
				}
				found++
				asked := 0
				s := Shrink(c, func(c *Case) bool { asked++; return m.shown(c) })
				text := s.String()
				if found == 1 {
					t.Logf("asked %d times\n%s", asked, text)
				}
				if !m.shown(&s) || !s.valid() || s.scoped() != "" {
					t.Fatalf("no longer a case of it:\n%s", text)
				}
				tiers := 0
				for _, r := range s.parts() {
					tiers += len(r.Tiers)
				}
				if len(s.Events) > m.events || len(s.Rates) > m.rates || tiers > m.tiers*len(s.Rates) || !strings.Contains(text, m.shows) {
					t.Errorf("seed %d: not short:\n%s", seed, text)
				}
			}
			if found < 3 {
				t.Errorf("%d cases show it", found)
			}
		})
	}
}

func TestShrinkLeavesTheCaseAlone(t *testing.T) {
	for seed := range uint64(10) {
		c := Generate(seed, Options{})
		was := c.String()
		Shrink(c, func(s *Case) bool { return len(s.Events) > 1 })
		if c.String() != was {
			t.Fatalf("seed %d: the case that was given has changed", seed)
		}
	}
}
