package catalog

import (
	"fmt"
	"sync"
	"time"
)

// Bound is a start or an end as it was written: open, an instant, or a date whose instant depends
// on a zone. Its zero value is open; stored definitions hold open bounds and instants only.
type Bound struct {
	form             boundForm
	at               int64
	year, month, day int
}

type boundForm uint8

const (
	boundOpen boundForm = iota
	boundInstant
	boundDate
)

// The years that definitions may name: far inside what int64 nanoseconds can hold, so that
// arithmetic on periods cannot overflow.
const (
	firstYear = 1900
	lastYear  = 2200
)

func instantBound(at int64) Bound {
	if at == Always || at == Never {
		return Bound{}
	}
	return Bound{form: boundInstant, at: at}
}

// parseBound reads "2026-01-01" or an RFC 3339 instant.
func parseBound(text string) (Bound, error) {
	if date, err := time.Parse(time.DateOnly, text); err == nil {
		if date.Year() < firstYear || date.Year() > lastYear {
			return Bound{}, fmt.Errorf("must lie between the years %d and %d", firstYear, lastYear)
		}
		return Bound{form: boundDate, year: date.Year(), month: int(date.Month()), day: date.Day()}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		if _, err := time.Parse("2006-01-02T15:04:05.999999999", text); err == nil {
			return Bound{}, fmt.Errorf("%q has no time zone: write %sZ or an offset such as %s+01:00", text, text, text)
		}
		return Bound{}, fmt.Errorf("must be a date (2026-01-31) or an instant (2026-01-31T10:00:00Z), not %q", text)
	}
	if at.Year() < firstYear || at.Year() > lastYear {
		return Bound{}, fmt.Errorf("must lie between the years %d and %d", firstYear, lastYear)
	}
	return instantBound(at.UnixNano()), nil
}

// resolve turns a date into the instant of its local midnight in the zone.
func (b *Bound) resolve(zone *time.Location) {
	if b.form == boundDate {
		*b = instantBound(dayStart(b.year, time.Month(b.month), b.day, zone))
	}
}

func (b Bound) startAt() int64 {
	if b.form == boundOpen {
		return Always
	}
	return b.at
}

func (b Bound) endAt() int64 {
	if b.form == boundOpen {
		return Never
	}
	return b.at
}

// IsZero reports whether the bound is open; encoding/json leaves such a member out.
func (b Bound) IsZero() bool { return b.form == boundOpen }

// String gives the date or the instant in UTC; "open" for an open bound.
func (b Bound) String() string {
	switch b.form {
	case boundDate:
		return fmt.Sprintf("%04d-%02d-%02d", b.year, b.month, b.day)
	case boundInstant:
		return time.Unix(0, b.at).UTC().Format(time.RFC3339Nano)
	}
	return "open"
}

// in gives the date when the bound is a local midnight of the zone, otherwise the instant.
func (b Bound) in(zone *time.Location) string {
	if b.form != boundInstant {
		return b.String()
	}
	local := time.Unix(0, b.at).In(zone)
	if dayStart(local.Year(), local.Month(), local.Day(), zone) == b.at {
		return local.Format(time.DateOnly)
	}
	return b.String()
}

// MarshalText writes the date or the instant.
func (b Bound) MarshalText() ([]byte, error) {
	if b.form == boundOpen {
		return nil, nil
	}
	return []byte(b.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (b *Bound) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*b = Bound{}
		return nil
	}
	*b, err = parseBound(string(text))
	return err
}

// zones caches time.LoadLocation, which reads and parses a file each time. It holds at most as many
// entries as the zone database, since only names that load are kept.
var zones sync.Map // string → *time.Location

// loadZone finds an IANA zone; the empty name is UTC. "Local" is refused: a definition must not
// depend on the machine that reads it.
func loadZone(name string) (*time.Location, error) {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, fmt.Errorf("unknown time zone %q: use a name of the IANA database such as Europe/Berlin", name)
	}
	zones.Store(name, zone)
	return zone, nil
}
