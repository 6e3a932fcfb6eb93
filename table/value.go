package table

import (
	"bytes"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

// A shape says how numbers were written; the shapes of a column are or-ed.
type shape uint8

const (
	shapePoint    shape = 1 << iota // has a decimal point
	shapeComma                      // has a decimal comma
	shapeFraction                   // has a fraction or an exponent: not written as a whole number
	shapeLarge                      // written as a whole number beyond 2^53, which a float64 would round
	shapeInf                        // the word for infinity
)

// exact10 are the powers of ten that a float64 holds exactly.
var exact10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// scanNumber reads the decimal number at the start of b: an optional sign,
// digits with at most one decimal mark (a point, or a comma if comma is set),
// an optional exponent. It returns the value that strconv.ParseFloat gives and
// the number of bytes, 0 if there is no number. A number too large for a
// float64 is ±Inf. b must end in a byte that cannot belong to a number.
func scanNumber(b []byte, comma bool) (v float64, n int, s shape) {
	i := 0
	neg := false
	if b[0] == '-' || b[0] == '+' {
		neg = b[0] == '-'
		i = 1
	}
	var mantissa uint64
	digits := 0   // all digits
	kept := 0     // digits in mantissa, leading zeros not counted
	exponent := 0 // of ten, to apply to mantissa
	truncated := false
	mark := -1
	for ; ; i++ {
		d := b[i] - '0'
		if d <= 9 {
			digits++
			if kept < 19 {
				mantissa = mantissa*10 + uint64(d)
				if mantissa > 0 {
					kept++
				}
				if mark >= 0 {
					exponent--
				}
			} else {
				truncated = true
			}
			continue
		}
		if mark < 0 && (b[i] == '.' || comma && b[i] == ',') {
			mark = i
			continue
		}
		break
	}
	if digits == 0 {
		return 0, 0, 0
	}
	if mark >= 0 {
		s = shapePoint | shapeFraction
		if b[mark] == ',' {
			s = shapeComma | shapeFraction
		}
	}
	if b[i]|0x20 == 'e' {
		j := i + 1
		negExp := false
		if b[j] == '-' || b[j] == '+' {
			negExp = b[j] == '-'
			j++
		}
		if b[j]-'0' > 9 {
			return 0, 0, 0
		}
		e := 0
		for ; b[j]-'0' <= 9; j++ {
			if e < 10000 {
				e = e*10 + int(b[j]-'0')
			}
		}
		if negExp {
			e = -e
		}
		exponent += e
		s |= shapeFraction
		i = j
	}
	if s == 0 && (truncated || mantissa > 1<<53) {
		s = shapeLarge
	}
	// Clinger's fast path: both factors are exact, so one rounding is the right one.
	if !truncated && mantissa <= 1<<53 && exponent >= -22 && exponent <= 22 {
		v = float64(mantissa)
		if exponent < 0 {
			v /= exact10[-exponent]
		} else {
			v *= exact10[exponent]
		}
		if neg {
			v = -v
		}
		return v, i, s
	}
	if !truncated && exponent < 0 && exponent >= -19 {
		v = divide(mantissa, whole10[-exponent])
		if neg {
			v = -v
		}
		return v, i, s
	}
	text := b[:i]
	if s&shapeComma != 0 {
		text = bytes.Clone(text)
		text[mark] = '.'
	}
	// The string lives only for the call: ParseFloat keeps nothing of it.
	v, _ = strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	return v, i, s
}

// whole10 are the powers of ten that a uint64 holds.
var whole10 = [...]uint64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// divide returns the float64 nearest to m/d, for d > 0. Numbers printed with
// all their digits (0.12345678901234567) take this way, in half the time that
// ParseFloat needs.
func divide(m, d uint64) float64 {
	if m == 0 {
		return 0
	}
	sm, sd := bits.LeadingZeros64(m), bits.LeadingZeros64(d)
	m <<= sm
	d <<= sd
	// The quotient has at least 63 bits, ten more than a float64 keeps; a
	// remainder sets the last one, which decides what would look like a tie.
	q, r := bits.Div64(m>>1, m<<63, d)
	if r != 0 {
		q |= 1
	}
	// The scale is a power of two in the range of normal numbers: exact.
	return float64(q) * math.Float64frombits(uint64(1023-63-sm+sd)<<52)
}

// parseNumber reads a whole text as a number, or as a word for "not a number"
// or infinity. text may be any bytes.
func parseNumber(text []byte, comma bool) (v float64, s shape, ok bool) {
	if len(text) == 0 {
		return 0, 0, false
	}
	var local [48]byte
	terminated := append(append(local[:0], text...), 0)
	if v, n, s := scanNumber(terminated, comma); n == len(text) {
		return v, s, true
	}
	if len(text) > len("-infinity") {
		return 0, 0, false
	}
	word, sign := text, 1
	if word[0] == '+' || word[0] == '-' {
		if word[0] == '-' {
			sign = -1
		}
		word = word[1:]
	}
	switch strings.ToLower(string(word)) {
	case "nan":
		return math.NaN(), shapeFraction, true
	case "inf", "infinity":
		return math.Inf(sign), shapeInf | shapeFraction, true
	}
	return 0, 0, false
}

// beyondFloat32 reports whether v is finite or infinite but not a float32: it
// would round to an infinity there.
func beyondFloat32(v float64) bool {
	// Above this, rounding to nearest even gives +Inf: MaxFloat32 plus half of its last place.
	const limit = math.MaxFloat32 + 0x1p103
	return v >= limit || v <= -limit
}

// booleanWords are the words of a boolean column, false before true. 0 and 1 stay numbers.
var booleanWords = [...][2]string{{"false", "true"}, {"no", "yes"}, {"f", "t"}}

// parseBoolean reads a word in any case.
func parseBoolean(text []byte) (v float64, ok bool) {
	if len(text) > 5 {
		return 0, false
	}
	var lower [5]byte
	for i, c := range text {
		lower[i] = c | 0x20
	}
	switch string(lower[:len(text)]) {
	case "true", "yes", "t":
		return 1, true
	case "false", "no", "f":
		return 0, true
	}
	return 0, false
}

// otherWord returns the word that goes with the boolean word w, in its case:
// "No" for "Yes".
func otherWord(w string) string {
	for _, pair := range booleanWords {
		for i, p := range pair {
			if !strings.EqualFold(p, w) {
				continue
			}
			o := pair[1-i]
			switch {
			case w == strings.ToUpper(w):
				return strings.ToUpper(o)
			case w[0] != p[0]:
				return strings.ToUpper(o[:1]) + o[1:]
			}
			return o
		}
	}
	return ""
}

// parseDate reads a date, or a date and time, and returns seconds since 1970
// UTC. The forms are ISO 8601 (2006-01-02, 2006-01-02T15:04,
// 2006-01-02 15:04:05.123Z, …+01:00), 2006/01/02 and 02.01.2006, each with or
// without a time. A time without a zone is UTC. Fractions of a second are kept
// to the microsecond. 01/02/2006 is refused: it means two days.
func parseDate(b []byte) (float64, bool) {
	if len(b) < len("2006-01-02") || b[0]-'0' > 9 {
		return 0, false
	}
	var year, month, day int
	ok := true
	two := func(i int) int {
		if len(b) < i+2 || b[i]-'0' > 9 || b[i+1]-'0' > 9 {
			ok = false
			return 0
		}
		return int(b[i]-'0')*10 + int(b[i+1]-'0')
	}
	switch {
	case b[4] == '-' && b[7] == '-', b[4] == '/' && b[7] == '/':
		year, month, day = two(0)*100+two(2), two(5), two(8)
	case b[2] == '.' && b[5] == '.':
		year, month, day = two(6)*100+two(8), two(3), two(0)
	default:
		return 0, false
	}
	if !ok || year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	seconds := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix()
	if len(b) == 10 {
		return float64(seconds), true
	}
	if b[10] != 'T' && b[10] != ' ' || len(b) < 16 || b[13] != ':' {
		return 0, false
	}
	hour, minute, second, micros := two(11), two(14), 0, 0
	i := 16
	if i < len(b) && b[i] == ':' {
		second = two(i + 1)
		i += 3
		if ok && i < len(b) && (b[i] == '.' || b[i] == ',') {
			i++
			start, unit := i, 100000
			for ; i < len(b) && b[i]-'0' <= 9; i++ {
				micros += int(b[i]-'0') * unit
				unit /= 10
			}
			if i == start {
				return 0, false
			}
		}
	}
	if !ok || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	offset := 0
	if rest := b[i:]; len(rest) > 0 {
		switch {
		case len(rest) == 1 && rest[0] == 'Z':
		case (rest[0] == '+' || rest[0] == '-') && (len(rest) == 6 && rest[3] == ':' || len(rest) == 5 || len(rest) == 3):
			h, m := two(i+1), 0
			if len(rest) > 3 {
				m = two(len(b) - 2)
			}
			if !ok || h > 23 || m > 59 {
				return 0, false
			}
			offset = h*3600 + m*60
			if rest[0] == '-' {
				offset = -offset
			}
		default:
			return 0, false
		}
	}
	seconds += int64(hour*3600 + minute*60 + second - offset)
	return fromMicros(seconds*1e6 + int64(micros)), true
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// trim removes blanks at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
