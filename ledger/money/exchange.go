package money

import (
	"fmt"
	"time"
)

// Exchange is an exchange rate: what one unit of a currency costs in another, and of which day it is. The zero Exchange
// converts nothing: an amount stays what it is.
type Exchange struct {
	Rate Decimal
	Date Date
}

// Used says whether the exchange converts anything.
func (x Exchange) Used() bool { return !x.Rate.IsZero() }

// Convert gives the amount in the other currency, rounded half away from zero at the 12th decimal, or ErrOverflow.
func (x Exchange) Convert(amount Decimal) (Decimal, error) {
	if x.Rate.IsZero() {
		return amount, nil
	}
	return amount.Mul(x.Rate)
}

// Date is a day, in days since 1970-01-01.
type Date int32

const secondsOfDay = 24 * 60 * 60

// DateOf gives the day of an instant in nanoseconds in the zone.
func DateOf(instant int64, zone *time.Location) Date {
	year, month, day := time.Unix(0, instant).In(zone).Date()
	return Date(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() / secondsOfDay) //nolint:gosec // instants lie between 1677 and 2262
}

// seconds gives the beginning of the day in UTC.
func (d Date) seconds() int64 { return int64(d) * secondsOfDay }

// In gives the midnight with which the day begins in the zone.
func (d Date) In(zone *time.Location) time.Time {
	year, month, day := time.Unix(d.seconds(), 0).UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, zone)
}

// String writes the day as 2006-01-02.
func (d Date) String() string { return time.Unix(d.seconds(), 0).UTC().Format(time.DateOnly) }

// ParseDate reads what String writes.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, fmt.Errorf("date %q: want one like 2026-11-20", text)
	}
	return Date(t.Unix() / secondsOfDay), nil //nolint:gosec // years have four digits
}

// MarshalText writes what String writes.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}
