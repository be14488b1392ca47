package server

import (
	"testing"
	"time"

	"github.com/tollstream/tollstream/api"
	"github.com/tollstream/tollstream/rater/catalog"
)

// A day is one of the account's: noon of the 1st of November is on the 31st of October in Auckland, by UTC, and in New York on a day of 25 hours.
func TestPeriodOfADay(t *testing.T) {
	for zone, want := range map[string]string{"Pacific/Auckland": "2026-10-31T23:00:00Z", "America/New_York": "2026-11-01T17:00:00Z", "UTC": "2026-11-01T12:00:00Z"} {
		at, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		account := &catalog.Account{Billing: []catalog.BillingTerm{{Start: catalog.Always, Zone: at}}}
		if got := within(&api.RerateRequest{Period: "2026-11-01"}, account).UTC().Format(time.RFC3339); got != want {
			t.Errorf("%s: %s, want %s", zone, got, want)
		}
	}
	instant := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	if got := within(&api.RerateRequest{Period: "2026-11-01T03:00:00Z", At: instant}, nil); !got.Equal(instant) {
		t.Errorf("an instant became %s", got)
	}
}
