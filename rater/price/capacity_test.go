package price

import (
	"errors"
	"testing"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/catalog"
)

func capacityRate() *catalog.Rate {
	limits := func(storage, transfer string) []catalog.Limit {
		return []catalog.Limit{{Product: "storage", Most: dec(storage)}, {Product: "transfer", Most: dec(transfer)}}
	}
	return &catalog.Rate{ID: "c", Model: catalog.ModelCapacity, Capacity: []catalog.CapacityTier{
		{Price: dec("10"), Limits: limits("100", "1000")},
		{Price: dec("20"), Limits: limits("200", "1000")[:1]},
		{Price: dec("30"), Limits: limits("500", "5000")},
	}}
}

func TestCapacityByHand(t *testing.T) {
	for _, c := range []struct {
		name string
		pool []Used
		want string
	}{
		{"no events", nil, "0"},
		{"events that add up to nothing", []Used{{"storage", dec("0")}}, "10"},
		{"taken back", []Used{{"storage", dec("-5")}}, "10"},
		{"at both limits", []Used{{"storage", dec("100")}, {"transfer", dec("1000")}}, "10"},
		{"above one limit", []Used{{"storage", dec("100.000000000001")}, {"transfer", dec("1")}}, "20"},
		{"above the other", []Used{{"transfer", dec("1000.5")}, {"storage", dec("7")}}, "20"},
		{"a product without a limit", []Used{{"transfer", dec("999999")}, {"storage", dec("200")}, {"requests", dec("1e9")}}, "20"},
		{"the last tier", []Used{{"storage", dec("201")}}, "30"},
		{"above all tiers", []Used{{"storage", dec("501")}, {"transfer", dec("5001")}}, "30"},
	} {
		if got, err := CapacityTotal(capacityRate(), c.pool); err != nil || got != dec(c.want) {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
	if _, err := CapacityTotal(&catalog.Rate{Model: catalog.ModelCapacity}, nil); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without tiers: %v", err)
	}
}

func BenchmarkCapacity(b *testing.B) {
	r, pool := capacityRate(), []Used{{"storage", dec("201")}, {"transfer", money.One}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CapacityTotal(r, pool); err != nil {
			b.Fatal(err)
		}
	}
}
