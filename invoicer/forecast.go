package invoicer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tollstream/tollstream/ledger/money"
)

// forecastDays is how many whole days before today a forecast looks at.
const forecastDays = 7

// forecast guesses the total at the period's end: what is charged so far, and for every remaining day the pace of
// the last days. Low takes the mean of the quieter half of them, high that of the busier half; a single day is
// taken a fifth lower and higher. Before the first whole day, high goes on at today's pace and low stops where it is.
// Days before the first charge do not count. Nil: nothing to go by, or the report store does not answer; an invoice is
// complete without it.
func (d *Desk) forecast(ctx context.Context, t *Target, users []string, total money.Decimal) *Forecast {
	now := d.Now()
	end := time.Unix(0, t.Ref.Period.End)
	if d.Daily == nil || len(users) == 0 || now.UnixNano() < t.Ref.Period.Start || !now.Before(end) {
		return nil
	}
	zone := zoneOf(t.Billed)
	y, m, day := now.In(zone).Date()
	midnight := time.Date(y, m, day, 0, 0, 0, 0, zone)
	q := DailyQuery{
		Billed: t.Billed.ID, Zone: zone,
		From: time.Date(y, m, day-forecastDays, 0, 0, 0, 0, zone), To: time.Date(y, m, day+1, 0, 0, 0, 0, zone),
	}
	if t.Account.ID != t.Billed.ID {
		q.Accounts = users
	}
	charges, err := d.Daily.DailyCharges(ctx, q)
	if err != nil {
		return nil
	}
	days, today, err := sumDays(charges, q.From, midnight)
	if err != nil {
		return nil
	}
	f, err := project(total, days, today, now.Sub(midnight), end.Sub(now))
	if err != nil {
		return nil
	}
	return f
}

// sumDays returns the sum of each whole day from the first one with a charge to yesterday, and today's.
func sumDays(charges []DayCharge, from, midnight time.Time) (days []money.Decimal, today money.Decimal, err error) {
	sums := make(map[string]money.Decimal)
	for _, c := range charges {
		if sums[c.Day], err = sums[c.Day].Add(c.Charge); err != nil {
			return nil, today, err
		}
	}
	for at := from; at.Before(midnight); at = at.AddDate(0, 0, 1) {
		sum, charged := sums[at.Format(time.DateOnly)]
		if charged || len(days) > 0 {
			days = append(days, sum)
		}
	}
	return days, sums[midnight.Format(time.DateOnly)], nil
}

// project adds what the remaining time will cost to the total.
func project(total money.Decimal, days []money.Decimal, today money.Decimal, elapsed, remaining time.Duration) (*Forecast, error) {
	var low, high money.Decimal // of the remaining time
	var err error
	switch {
	case len(days) > 0:
		low, high, err = atPaceOf(days, remaining)
	case elapsed >= time.Hour:
		high, err = atPaceOfToday(today, elapsed, remaining)
	default:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if high.Cmp(low) < 0 {
		low, high = high, low
	}
	f := &Forecast{Days: len(days)}
	if f.Low.Decimal, err = total.Add(low); err != nil {
		return nil, err
	}
	f.High.Decimal, err = total.Add(high)
	return f, err
}

// atPaceOf takes the means of the quieter and of the busier half; a day in the middle belongs to both.
func atPaceOf(days []money.Decimal, remaining time.Duration) (low, high money.Decimal, err error) {
	slices.SortFunc(days, money.Decimal.Cmp)
	half := (len(days) + 1) / 2
	if low, err = mean(days[:half]); err != nil {
		return low, high, err
	}
	if high, err = mean(days[len(days)-half:]); err != nil {
		return low, high, err
	}
	if len(days) == 1 {
		if low, high, err = around(low); err != nil {
			return low, high, err
		}
	}
	if low, err = low.Mul(inDays(remaining)); err != nil {
		return low, high, err
	}
	high, err = high.Mul(inDays(remaining))
	return low, high, err
}

// atPaceOfToday scales what the elapsed part of the day cost, in whole minutes.
func atPaceOfToday(today money.Decimal, elapsed, remaining time.Duration) (money.Decimal, error) {
	scaled, err := today.Mul(money.FromInt(int64(remaining / time.Minute)))
	if err != nil {
		return scaled, err
	}
	return part(scaled, int(elapsed/time.Minute))
}

func mean(days []money.Decimal) (money.Decimal, error) {
	var sum money.Decimal
	var err error
	for _, d := range days {
		if sum, err = sum.Add(d); err != nil {
			return sum, err
		}
	}
	return part(sum, len(days))
}

// part is sum ÷ n, as the largest of n equal parts.
func part(sum money.Decimal, n int) (money.Decimal, error) {
	weights := make([]money.Decimal, n)
	for i := range weights {
		weights[i] = money.One
	}
	parts, err := money.Allocate(sum, weights, money.Scale)
	if err != nil {
		return money.Decimal{}, err
	}
	return parts[0], nil
}

func around(pace money.Decimal) (low, high money.Decimal, err error) {
	if low, err = pace.Mul(money.MustParse("0.8")); err != nil {
		return low, high, err
	}
	high, err = pace.Mul(money.MustParse("1.2"))
	return low, high, err
}

// inDays writes a duration in days of 24 hours, with 9 decimals.
func inDays(d time.Duration) money.Decimal {
	const day = int64(24 * time.Hour / time.Millisecond)
	ms := max(d.Milliseconds(), 0)
	return money.MustParse(fmt.Sprintf("%d.%09d", ms/day, ms%day*1_000_000_000/day))
}
