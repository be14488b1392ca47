package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
	"github.com/tollstream/tollstream/rater/sink"
)

// daysOfZones holds reports by day against days as Go cuts them: zones with whole, half and quarter hours,
// with summer time of an hour and of half an hour, and one that left out a day (Apia, 2011-12-30).
func daysOfZones(t *testing.T, s Store) {
	random := rand.New(rand.NewPCG(1, 2))
	start, end := at("2011-03-01T00:00:00Z"), at("2012-12-01T00:00:00Z")
	var rows []sink.Row
	for i := range 400 {
		row := fixture[0].row()
		row.Offset = int64(i)
		row.Activity.Account = "acme"
		row.Activity.EventTime = start + random.Int64N(end-start)
		row.Activity.Quantity = money.One
		row.Activity.Charge = money.FromInt(random.Int64N(1000) - 500)
		rows = append(rows, row)
	}
	fill(t, s, rows)
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			from := start + random.Int64N(end-start)
			to := from + 1 + random.Int64N(end-from)
			q := sink.TotalsQuery{Groups: []sink.Group{sink.GroupDay}, Zone: zone, Filter: sink.Filter{From: from, To: to}}
			got, _, err := s.Totals(t.Context(), q)
			same(t, fmt.Sprintf("days of %s from %d to %d", name, from, to), totalsText(got, q.Groups), naiveDays(rows, zone, from, to), err)
		}
	}
}

func naiveDays(rows []sink.Row, zone *time.Location, from, to int64) string {
	events, revenue := map[string]int64{}, map[string]money.Decimal{}
	var days []string
	for _, r := range rows {
		a := r.Activity
		if a.EventTime < from || a.EventTime >= to {
			continue
		}
		day := time.Unix(0, a.EventTime).In(zone).Format(time.DateOnly)
		if events[day]++; events[day] == 1 {
			days = append(days, day)
		}
		sum, err := revenue[day].Add(a.Charge)
		if err != nil {
			panic(err)
		}
		revenue[day] = sum
	}
	slices.Sort(days)
	for i, day := range days {
		days[i] = fmt.Sprintf("%s USD %d %d %s", day, events[day], events[day], revenue[day])
	}
	return strings.Join(days, "\n")
}
