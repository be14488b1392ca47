package main

import (
	"strings"
	"testing"

	"github.com/tollstream/tollstream/deploy/local"
)

func TestDedupBriefly(t *testing.T) {
	s := brief
	s.Days = 9 // eight of them behind filters
	r := measureBriefly(t, nil, s, measureDedup)
	for _, part := range []string{"look up new usage", "add", "look up usage that is sent again", "memory of an identity behind filters"} {
		if figureOf(t, r, "duplicates index, 9 × 8000 identities: "+part).Median <= 0 {
			t.Errorf("%s: nothing measured", part)
		}
	}
	// An entry is 32 bytes, and its part of the slots between 5 and 10; what else the process frees or takes meanwhile blurs it.
	if m := figureOf(t, r, "duplicates index, 1 × 8000 identities: memory of an identity of the last day"); m.Median < 30 || m.Median > 64 {
		t.Errorf("memory: %+v", m)
	}
}

// TestStartBriefly has an embedded broker, since the topics of a server have fixed names.
func TestStartBriefly(t *testing.T) {
	c := testCorner(t)
	broker, err := local.Start(t.Context(), local.Config{DataDir: t.TempDir(), Kafka: true, Partitions: brief.Partitions})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close(t.Context()) })
	c.kafka = broker.KafkaBrokers
	r := measureBriefly(t, c, brief, measureStart)
	for _, m := range r.Measures {
		if !strings.HasPrefix(m.Name, "start of a rater: ") || m.Median <= 0 {
			t.Errorf("%+v", m)
		}
	}
	first, all := figureOf(t, r, "start of a rater: first rated event"), figureOf(t, r, "start of a rater: every partition has rated and checkpointed")
	if first.Median > all.Median {
		t.Errorf("the first event was rated after all of them: %+v, %+v", first, all)
	}
}
