package usage

import "time"

// The instants that usage may name. The ends leave room for every period that could contain them;
// what is merely too old or too new is accepted here and decided by the rater.
var (
	minTime = time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	maxTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()
)

// InRange reports whether an instant may be a usage time.
func InRange(instant int64) bool { return instant >= minTime && instant < maxTime }

// ParseTime reads an RFC 3339 time with its zone, to the nanosecond; the message of a refusal says
// what is wrong.
func ParseTime(s string) (instant int64, message string) {
	const advice = "; write it as in 2026-11-21T10:00:00Z or 2026-11-21T11:00:00.5+01:00"
	if len(s) >= 10 && len(s) <= 30 && s[len(s)-1] >= '0' && s[len(s)-1] <= '9' && !hasOffset(s) {
		return 0, "time " + quoted(s) + " has no zone" + advice
	}
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return 0, "time " + quoted(s) + " is not an RFC 3339 time" + advice
	}
	year, ok1 := number(s[0:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:10])
	hour, ok4 := number(s[11:13])
	minute, ok5 := number(s[14:16])
	second, ok6 := number(s[17:19])
	ok := ok1 && ok2 && ok3 && ok4 && ok5 && ok6 &&
		month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) && hour < 24 && minute < 60 && second < 60
	fraction, rest, okFraction := fractionOf(s[19:])
	offset, okOffset := offsetOf(rest)
	switch {
	case !ok || !okOffset:
		return 0, "time " + quoted(s) + " is not an RFC 3339 time" + advice
	case !okFraction:
		return 0, "time " + quoted(s) + " is finer than a nanosecond" + advice
	case year < 1700 || year > 2199:
		return 0, "time " + quoted(s) + " is outside the years 1700 to 2199"
	}
	seconds := daysSinceEpoch(year, month, day)*86400 + int64(hour*3600+minute*60+second-offset)
	instant = seconds*1e9 + int64(fraction)
	if !InRange(instant) {
		return 0, "time " + quoted(s) + " is outside the years 1700 to 2199"
	}
	return instant, ""
}

// number reads decimal digits only.
func number(s string) (n int, ok bool) {
	for i := range len(s) {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, true
}

// fractionOf cuts the fraction of a second off the front; ok is false when it does not fit whole
// nanoseconds.
func fractionOf(s string) (nanoseconds int, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	n := digitsAt(s, 1)
	if n == 0 {
		return 0, s, true // the rest then is no offset
	}
	digits, ok := s[1:1+n], true
	for len(digits) > 9 {
		ok = ok && digits[len(digits)-1] == '0'
		digits = digits[:len(digits)-1]
	}
	nanoseconds, _ = number(digits)
	for range 9 - len(digits) {
		nanoseconds *= 10
	}
	return nanoseconds, s[1+n:], ok
}

// offsetOf reads Z or ±hh:mm in seconds east of UTC.
func offsetOf(s string) (seconds int, ok bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != 6 || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, ok1 := number(s[1:3])
	minute, ok2 := number(s[4:6])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	seconds = hour*3600 + minute*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func hasOffset(s string) bool {
	return len(s) > 16 && s[len(s)-3] == ':' && (s[len(s)-6] == '+' || s[len(s)-6] == '-')
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// daysSinceEpoch counts days in the proleptic Gregorian calendar, with years that begin in March so
// that the leap day comes last.
func daysSinceEpoch(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return int64(365*year + year/4 - year/100 + year/400 + dayOfYear - 719468)
}
