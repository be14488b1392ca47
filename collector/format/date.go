package format

import (
	"fmt"
	"strings"
	"time"

	"github.com/tollstream/tollstream/collector/usage"
)

// Layouts that are no layout of the package time: counts since the Unix epoch, with or without a
// fraction.
const (
	LayoutUnix             = "unix"
	LayoutUnixMilliseconds = "unix_ms"
	LayoutUnixMicroseconds = "unix_us"
	LayoutUnixNanoseconds  = "unix_ns"
)

// unixDigits says how many digits of a second behind the unit a count has room for.
var unixDigits = map[string]int{LayoutUnix: 9, LayoutUnixMilliseconds: 6, LayoutUnixMicroseconds: 3, LayoutUnixNanoseconds: 0}

// CheckLayout says what is wrong with a layout; zoned says whether it reads the zone from the text.
func CheckLayout(layout string) (zoned bool, message string) {
	if _, counts := unixDigits[layout]; counts {
		return true, ""
	}
	if strings.Contains(layout, "MST") {
		return false, fmt.Sprintf("layout %q reads a zone's abbreviation, which names more than one zone; use -0700 or time_zone", layout)
	}
	// Two times that differ in every part must not be written alike, or a part is missing.
	a := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	for _, other := range []time.Time{a.AddDate(1, 0, 0), a.AddDate(0, 1, 0), a.AddDate(0, 0, 1)} {
		if a.Format(layout) == other.Format(layout) {
			return false, fmt.Sprintf("layout %q lacks the year, month or day; write it for the moment 2006-01-02 15:04:05", layout)
		}
	}
	if a.Format(layout) == a.Add(12*time.Hour).Format(layout) && a.Format(layout) != a.Add(time.Hour).Format(layout) {
		return false, fmt.Sprintf("layout %q reads hours without saying which half of the day; use 15, or 03 with PM", layout)
	}
	return readsZone(layout), ""
}

func readsZone(layout string) bool {
	return strings.Contains(layout, "Z07") || strings.Contains(layout, "-07")
}

// parseTime reads the text by the first layout that fits.
func parseTime(text string, f *Field) (instant int64, message string) {
	for _, layout := range f.Layouts {
		if digits, counts := unixDigits[layout]; counts {
			if instant, ok := unixTime(text, digits); ok {
				return instant, ""
			}
			continue
		}
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if y := t.Year(); y < 1700 || y > 2199 {
			return 0, fmt.Sprintf("time %q is outside the years 1700 to 2199", cut(text))
		}
		if !readsZone(layout) {
			if t, message = inZone(t, f); message != "" {
				return 0, message
			}
		}
		if instant = t.UnixNano(); !usage.InRange(instant) {
			return 0, fmt.Sprintf("time %q is outside the years 1700 to 2199", cut(text))
		}
		return instant, ""
	}
	return 0, fmt.Sprintf("time %q does not fit the layout %s", cut(text), strings.Join(f.Layouts, " or "))
}

// unixTime reads a count exactly; of the second, so many digits may stand behind its point.
func unixTime(text string, digits int) (int64, bool) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if whole == "" || len(whole) > 22-digits || len(fraction) > digits {
		return 0, false
	}
	var n int64
	for _, c := range []byte(whole + fraction + strings.Repeat("0", digits-len(fraction))) {
		if c < '0' || c > '9' || n > (1<<62)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if strings.HasPrefix(text, "-") {
		n = -n
	}
	return n, usage.InRange(n)
}

// inZone finds the instant at which clocks in the zone showed the wall time (given in UTC). A time
// that clocks showed twice means the first of the two; one that they skipped is read as if they had
// not been changed yet, as PostgreSQL does, unless the field is strict. Both are decided here and
// not by the library, which promises neither.
func inZone(wall time.Time, f *Field) (time.Time, string) {
	zone := f.Zone
	if zone == nil {
		zone = time.UTC
	}
	before := wall.Add(-24 * time.Hour).In(zone)
	after := wall.Add(24 * time.Hour).In(zone)
	_, first := before.Zone()
	_, second := after.Zone()
	early := wall.Add(-time.Duration(first) * time.Second)
	if first == second {
		return early, ""
	}
	late := wall.Add(-time.Duration(second) * time.Second)
	_, atEarly := early.In(zone).Zone()
	_, atLate := late.In(zone).Zone()
	okEarly, okLate := atEarly == first, atLate == second
	const shown = "2006-01-02 15:04:05"
	switch {
	case f.Strict && okEarly && okLate:
		return early, fmt.Sprintf("time %s happened twice in %s", wall.Format(shown), zone)
	case okEarly:
		return early, ""
	case okLate:
		return late, ""
	case f.Strict:
		return early, fmt.Sprintf("time %s never happened in %s", wall.Format(shown), zone)
	default:
		return early, ""
	}
}
