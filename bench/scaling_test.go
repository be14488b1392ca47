package main

import (
	"math/big"
	"testing"

	"github.com/tollstream/tollstream/deploy/local"
)

// TestOwed: figures by hand, from the catalogue's words.
func TestOwed(t *testing.T) {
	for _, c := range []struct {
		name     string
		price    func(*big.Rat) *big.Rat
		quantity string
		want     string
	}{
		{"graduated, first tier", graduated, "2.5", "0.125"},
		{"graduated, third tier", graduated, "10002.5", "410.075"}, // 1000×0.05 + 9000×0.04 + 2.5×0.03
		{"volume", byVolume, "1000", "60"},
		{"volume, second tier", byVolume, "1002.5", "50.125"},
		{"volume, third tier", byVolume, "5002.5", "200.1"},
		{"packages, free", packages, "50", "0"},
		{"packages, one begun", packages, "52.5", "1.2"},
		{"packages, one whole", packages, "150", "1.2"},
		{"packages, two begun", packages, "152.5", "2.4"},
	} {
		q, _ := new(big.Rat).SetString(c.quantity)
		want, _ := new(big.Rat).SetString(c.want)
		if got := c.price(q); got.Cmp(want) != 0 {
			t.Errorf("%s: %s, want %s", c.name, got.FloatString(6), c.want)
		}
	}
	s := &stream{accounts: accountIDs(8)}
	for range 16 {
		s.event()
	}
	want := sums(s)
	if len(want) != 8 {
		t.Fatalf("%d accounts", len(want))
	}
	o := want[accountID(5)] // two events of data: 5 MB at 0.002
	if !o.matches("data", 2, "5.0", "0.010000000000") {
		t.Errorf("%+v", o)
	}
	for _, wrong := range []bool{o.matches("calls", 2, "5", "0.01"), o.matches("data", 1, "5", "0.01"), o.matches("data", 2, "2.5", "0.01"), o.matches("data", 2, "5", "0.01000001"), o.matches("data", 2, "", "")} {
		if wrong {
			t.Error("a wrong line matches")
		}
	}
}

// TestScalingBriefly shares an embedded broker among the processes, since the topics of a server have fixed names.
func TestScalingBriefly(t *testing.T) {
	t.Parallel()
	c := testCorner(t)
	broker, err := local.Start(t.Context(), local.Config{DataDir: t.TempDir(), Kafka: true, Partitions: brief.Partitions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close(t.Context()) })
	c.kafka = broker.KafkaBrokers
	r := measureBriefly(t, c, brief, measureScaling)
	if m := figureOf(t, r, "raters come, leave and are killed: lines that differ from the events sent"); m.Met == nil || !*m.Met {
		t.Errorf("%+v", m)
	}
	if figureOf(t, r, "4 rater processes: speed").Median <= 0 {
		t.Error("nothing measured")
	}
}
