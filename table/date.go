package table

import (
	"math"
	"time"
)

// FormatDate writes seconds since 1970 UTC as an ISO 8601 date, or as a date
// and time (UTC, to the microsecond) when it is not midnight.
func FormatDate(seconds float64) string {
	m := toMicros(seconds)
	t := time.UnixMicro(m).UTC()
	if m%(86400*1e6) == 0 {
		return t.Format("2006-01-02")
	}
	return t.Format("2006-01-02T15:04:05.999999Z07:00")
}

// toMicros rounds seconds to whole microseconds without the detour over a
// product that a float64 cannot hold.
func toMicros(seconds float64) int64 {
	s := math.Floor(seconds)
	return int64(s)*1e6 + int64(math.Round(float64((seconds-s)*1e6)))
}

// fromMicros is the inverse of toMicros.
func fromMicros(m int64) float64 {
	s, us := m/1e6, m%1e6
	if us < 0 {
		s, us = s-1, us+1e6
	}
	return float64(s) + float64(float64(us)/1e6)
}
